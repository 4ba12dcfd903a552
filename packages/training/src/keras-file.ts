import type { File, Group } from 'h5wasm';
import type { Network } from './network.js';
import { loadH5Library } from './weights/h5.js';

/** Whose format it is: the last Keras that wrote it by default. Keras 3 asks for it to know how weights are laid out. */
const FORMAT = { keras_version: '2.15.0', backend: 'tensorflow' };

/**
 * Writes a network's layers and weights as one Keras HDF5 file, which `keras.models.load_model` opens.
 *
 * `model_config` holds the architecture as JSON; below `model_weights` stands a group per layer, with its arrays' names in
 * the order of the layer (Keras 3: keras/src/legacy/saving/legacy_h5_format.py).
 * @param path of a new file. @throws ErrnoException where the disk is full.
 */
export async function writeKerasFile(path: string, network: Network): Promise<void> {
  const { File } = await loadH5Library();
  try {
    const file = new File(path, 'w');
    try {
      await writeModel(file, network);
    } finally {
      file.close();
    }
  } catch (error) {
    throw systemErrorOf(error, path);
  }
}

async function writeModel(file: File, { model, variablesOf }: Network): Promise<void> {
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
}

/** The library tells what the system said at the end of its own calls, in words alone. */
function systemErrorOf(error: unknown, path: string): unknown {
  if (!(error instanceof Error && /No space left on device|[Qq]uota exceeded/.test(error.message)))
    return error;
  return Object.assign(new Error(`ENOSPC: no space left on device, write '${path}'`, { cause: error }), {
    code: 'ENOSPC',
    path,
  });
}

function describeFormat(group: Group): void {
  for (const [name, value] of Object.entries(FORMAT)) group.create_attribute(name, value);
}
