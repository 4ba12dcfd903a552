// Run in a process of its own: opens a published model with nothing but TensorFlow.js, as a client would, and prints the
// probabilities of each picture as a line of JSON.
//   node predict-with-tfjs.mjs <URL of model.json> <picture>...
// The preprocessing is written from labels.json's words, with tfjs's own operations: none of the service's code is used.
import * as tf from '@tensorflow/tfjs';
import sharp from 'sharp';

const [modelUrl, ...pictures] = process.argv.slice(2);
const model = await tf.loadLayersModel(modelUrl);
const [, height, width] = model.inputs[0].shape;

for (const picture of pictures) {
  const { data, info } = await sharp(picture).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const probabilities = tf.tidy(() => {
    const rgb = tf.tensor3d(Float32Array.from(data), [info.height, info.width, 3]);
    const resized = tf.image.resizeBilinear(rgb, [height, width], false, true);
    const bgr = tf.sub(tf.reverse(resized, 2), tf.tensor1d([103.939, 116.779, 123.68]));
    return model.predict(tf.expandDims(bgr));
  });
  console.log(JSON.stringify([...(await probabilities.data())]));
}
