"""What a report says, as text and as JSON."""

import json
from math import sqrt

from builders import SIZE, trained_like

from forward_stability.certificates import certify
from forward_stability.report import Check, Constants, LayerReport, Report


def test_the_report_is_plain_json_and_readable():
    report = certify(trained_like("S"), SIZE)
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False, ensure_ascii=False))
    assert data["layers"][1]["norms"]["A"] == report.layers[1].norms["A"]
    assert data["constants"][-1]["a"] == report["best"].a
    text = str(report)
    assert "The hypotheses of Theorem 6 do not all hold." in text
    assert text.count("\n") > len(report.layers)
    assert "not proven" in text


def test_a_hypothesis_holds_up_to_rounding():
    assert Check("24", "", sqrt(2), sqrt(2)).holds
    assert Check("20a", "", 1 + 0.9e-11, 1).holds
    assert not Check("20a", "", 1 + 1.1e-11, 1).holds
    assert Check("14", "", 0, 0).holds
    assert not Check("14", "", 1e-300, 0).holds


def test_a_report_as_text():
    check = Check("20a", "‖A‖ ≤ 1", 2.0, 1)
    layers = [
        LayerReport(
            "convolution",
            (3, 4),
            2,
            1.5,
            1,
            0,
            {"A": 2.0},
            checks=(check,),
        ),
        LayerReport("2D pooling", (3, 4), 2, 1.25, 1, 0, {"A": 0.75}, bounds=("A",), index=1),
    ]
    constants = [
        Constants("printed", 2, False, 1, 0.5, True, "Eq. 51"),
        Constants("best", 1.875, True, 3, 0.25, False, "ours"),
    ]
    report = Report("ResNet-D", "Theorem 5", (3, 4), False, layers, constants)
    assert str(report).splitlines() == [
        "ResNet-D on 3x4 pixels",
        "",
        "   0 convolution    3x4    Lip ≤ 1.5       ‖A‖ = 2",
        "     Eq. 20a fails: ‖A‖ ≤ 1; here 2",
        "   1 2D pooling     3x4    Lip ≤ 1.25      ‖A‖ ≤ 0.75",
        "",
        "The hypotheses of Theorem 5 do not all hold.",
        "Sensitivity a and growth g, c: |x^N − y^N| ≤ a |x^0 − y^0|, |x^N| ≤ g |x^0| + c",
        "printed    a = 2 (not proven)              g = 1, c = 0.5                          Eq. 51",
        "best       a = 1.875                       g = 3, c = 0.25 (not proven)            ours",
    ]
    assert report.failed == [(0, check)]
    assert report["best"] is constants[1]
    assert [c["holds"] for layer in report.to_dict()["layers"] for c in layer["checks"]] == [False]
    plain = Report("R", "", (3, 4), True, layers[1:], constants)
    assert plain.failed == []
    assert str(plain).splitlines()[4] == ""
