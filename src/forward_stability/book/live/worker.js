// What a worker does: it holds one network, and answers one request at a time. Requests are
// {id, task, args}; the answer has the same id and a value or an error.

let network;
let scene; // {image, direction, clean}: the noisy images are image + level * direction

const TASKS = {
  /** Takes the exported file (an ArrayBuffer); returns its header. */
  open({ file }) {
    network = new Network(file);
    return network.header;
  },

  /** The features x^0, …, x^N of an image. */
  features({ image }) {
    return network.features(image);
  },

  /** Takes an image and a direction: another image, or the seed of standard normal noise. */
  scene({ image, direction, seed }) {
    direction ??= standardNormal(seed, image.length);
    scene = { image, direction, clean: network.features(image) };
  },

  /** The noisy image, its scores, and how far it and its features after each stage have moved. */
  answer({ level }) {
    const image = scene.image.map((z, i) => z + level * scene.direction[i]);
    const x = network.features(image);
    const moved = (n) => distance(x[n], scene.clean[n]);
    return {
      image,
      scores: x.at(-1).data,
      moved: moved(0),
      distances: network.header.stages.map((stage) => moved(stage.layer)),
    };
  },
};

self.onmessage = ({ data: { id, task, args } }) => {
  try {
    self.postMessage({ id, value: TASKS[task](args) });
  } catch (error) {
    self.postMessage({ id, error: error.message });
  }
};
