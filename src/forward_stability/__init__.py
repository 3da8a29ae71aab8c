"""Forward stability of ResNets: the reference implementation behind the interactive book.

Modules, in the order of Zhang & Schaeffer, "Forward Stability of ResNet and Its Variants" (2019);
each imports only those above it.

================  ==========================================================  ====================
module            what lives there                                            paper
================  ==========================================================  ====================
``errors``        the one exception for input that a user can mend            -
``prox``          projection, prox, normal cone, forward-backward step        Eqs. 1, 38, Rem. 4
``flow``          the differential inclusion, three variants, the scheme      Eqs. 1-6, 9, 11
``reference``     a second solution by projected dynamics and events          Thm. 7
``growth``        right-hand sides of Theorems 2-4, nonlinear Gronwall        Eqs. 7-13, Thm. 8
``worst_case``    random networks and the search for the largest ratio        Eqs. 7-13
``operators``     periodic convolution, its adjoint, E, P2, Pg                App. A
``spectral``      exact norms of convolutions, bounds, norm constraint        Eqs. 20-24, App. A
``models``        residual layers, pooling layer, the network of Fig. 1       Eqs. 14-19
``constraint``    networks for which the hypotheses hold while they are trained    Eqs. 20-24
``folding``       a network as filters and biases, batch norm folded in       Eqs. 14-19, Rem. 2
``certificates``  norms, hypotheses and constants of Theorems 5 and 6         Sect. 3.2, App. B
``attack``        the pair of inputs that is pulled furthest apart            Thms. 5, 6
``storage``       files that are whole or absent, tensors with a checksum      -
``data``          data sets as tensors, augmentation, corruptions             Sect. 4, Eq. 28
``config``        what is trained and how                                     Sect. 4, Table 1
``runs``          folders of trained networks                                 Tables 2-5
``training``      the loop, checkpoints, resume                               Sect. 4
``radius``        certified radii, and an attack from the other side          Thm. 6
``reporting``     numbers in a notebook, asserted before they are printed     -
``figures``       one look for all figures                                    Figs. 5-10
``explore``       sliders that live both in a kernel and on a static page     -
``cli``           ``forward-stability train | evaluate | bounds | certify``   -
================  ==========================================================  ====================
"""

__version__ = "0.1.0"
