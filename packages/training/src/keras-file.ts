import type { Group } from 'h5wasm';
import type { Network } from './network.js';

/** Whose format it is: the last Keras that wrote it by default. Keras 3 asks for it to know how weights are laid out. */
const FORMAT = { keras_version: '2.15.0', backend: 'tensorflow' };

/**
 * Writes a network's layers and weights as one Keras HDF5 file, which `keras.models.load_model` opens.
 *
 * `model_config` holds the architecture as JSON; below `model_weights` stands a group per layer, with its arrays' names in
 * the order of the layer (Keras 3: keras/src/legacy/saving/legacy_h5_format.py).
 * @param path of a new file.
 */
export async function writeKerasFile(path: string, { model, variablesOf }: Network): Promise<void> {
  const { default: h5wasm } = await import('h5wasm/node');
  await h5wasm.ready;
  const file = new h5wasm.File(path, 'w');
  try {
    file.create_attribute('model_config', JSON.stringify(model.toJSON(null, false)));
    describeFormat(file);
    const weights = file.create_group('model_weights');
    describeFormat(weights);
    // Layers without weights are in the architecture alone: Keras counts those that have some.
    const layers = model.layers.filter(({ weights: own }) => own.length > 0).map(({ name }) => name);
    weights.create_attribute('layer_names', layers);
    for (const name of layers) {
      const layer = weights.create_group(name);
      const variables = variablesOf([name]);
      layer.create_attribute(
        'weight_names',
        variables.map((variable) => `${variable.name}:0`),
      );
      const arrays = layer.create_group(name);
      for (const { name: variableName, variable } of variables)
        arrays.create_dataset({
          name: `${variableName.slice(name.length + 1)}:0`,
          data: await variable.data<'float32'>(),
          shape: variable.shape,
          dtype: '<f4',
        });
    }
  } finally {
    file.close();
  }
}

function describeFormat(group: Group): void {
  for (const [name, value] of Object.entries(FORMAT)) group.create_attribute(name, value);
}
