import { AppError, type JobRequest } from '@headstart/contracts';
import { type BaseLayer, parametersOf, VGG19_LAYERS } from '../models/vgg19/layers.js';
import { frozenConvolutions } from './freeze.js';
import { SCENARIO_DEFAULTS } from './defaults.js';

const WHOLE_BASE = VGG19_LAYERS.at(-1)!.name;

/**
 * Refuses a request whose parts contradict its scenario, with the reason and the scenario that would fit.
 * @throws AppError freeze_conflict or invalid_request.
 */
export function checkScenario(request: JobRequest, base: readonly BaseLayer[], frozen: Set<string>): void {
  const { scenario } = request;
  checkFeatureLayer(request);
  const frozenCount = frozenConvolutions(frozen, base).length;
  const trainable = base.filter((layer) => parametersOf(layer) > 0).length - frozenCount;
  const conflict = (reason: string) => {
    const field = 'freezeLayers';
    throw new AppError('freeze_conflict', `freezeLayers contradicts the scenario "${scenario}": ${reason}`, {
      errors: [{ field, message: reason, received: request.freezeLayers }],
    });
  };
  if (!SCENARIO_DEFAULTS[scenario].trainsBase && trainable > 0) {
    conflict(
      `it trains the head alone on frozen features, and ${trainable} convolutions would be trained. Leave it out, say "all", or choose "large-similar".`,
    );
  }
  if (scenario === 'large-different' && frozenCount > 0) {
    conflict(
      `it trains every layer, and ${frozenCount} convolutions would be frozen. Leave it out, say "none", or choose "large-similar".`,
    );
  }
  if (scenario === 'large-similar' && trainable === 0) {
    conflict(
      'it tunes the base, and nothing of the base would be trained. Freeze fewer layers, or choose "small-similar".',
    );
  }
}

function checkFeatureLayer({ scenario, model }: JobRequest): void {
  const featureLayer = model?.featureLayer;
  if (featureLayer === undefined || featureLayer === WHOLE_BASE || scenario === 'small-different') return;
  throw new AppError(
    'invalid_request',
    `model.featureLayer: the scenario "${scenario}" uses the whole base, up to ${WHOLE_BASE}. Leave it out, or choose "small-different", which cuts the base at an earlier layer.`,
    {
      errors: [
        {
          field: 'model.featureLayer',
          message: `Must be ${WHOLE_BASE} in this scenario`,
          received: featureLayer,
          allowed: [WHOLE_BASE],
        },
      ],
    },
  );
}
