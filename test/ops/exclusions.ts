/** A test of tfjs-core's own suite that is not run on an engine. */
export interface Exclusion {
  /** Engine that leaves the test out. */
  engine: string;
  /** The test's full name, or how it begins: everything that begins so is left out. */
  name: string;
  reason: string;
}

/** Tests of one engine, by op, which their names begin with; an empty rest leaves out the whole op. */
function leaveOut(engine: string, reason: string, restsByOp: Record<string, readonly string[]>): Exclusion[] {
  return Object.entries(restsByOp).flatMap(([op, rests]) =>
    rests.map((rest) => ({ engine, name: `${op} ${engine} {} ${rest}`, reason })),
  );
}

const POOL_ROUNDING = [
  'x=[2,2,3] f=[2,2] s=3 p=1 default dimRoundingMode',
  'x=[2,2,3] f=[1,1] s=2 p=1 dimRoundingMode=floor',
  'x=[2,2,3] f=[2,2] s=3 p=1 dimRoundingMode=floor',
  'x=[2,2,3] f=[2,2] s=3 p=1 dimRoundingMode=round',
  'x=[2,2,3] f=[2,2] s=3 p=1 dimRoundingMode=ceil',
];

/**
 * Everything of tfjs-core's suite that is left out, with its reason; an entry that no test answers to fails the run.
 *
 * `tensorflow` leaves out what tfjs-node 4.22 does not have, and leaves out of its own runs of the suite too; `webgpu` what tfjs has no
 * kernel for there, and what a GPU's programs cannot do. VGG19 and its training need none of it. The suite itself has two tests ("Switching cpu backends") for the backend called "cpu" alone: 4227
 * pass there, and 4225 on any other.
 */
export const EXCLUSIONS: readonly Exclusion[] = [
  ...leaveOut('tensorflow', 'tfjs-node has no kernel for the op', {
    bitwiseAnd: [''],
    denseBincount: [
      'with 0-length weights.',
      'with number out of range.',
      'with 1d float weights',
      'with 2d inputs and 0-length weights',
      'with 2d inputs and 2d weights.',
      'handle output from other ops.',
    ],
    'image.transform': [''],
    lowerBound: [''],
    maxPoolWithArgmax: [''],
    'raggedGather ': [''],
    'raggedRange ': [''],
    'raggedTensorToTensor ': [''],
    searchSorted: [''],
    sparseFillEmptyRows: [''],
    sparseReshape: [''],
    sparseSegmentMean: [''],
    sparseSegmentSum: [''],
    stringNGrams: [''],
    stringSplit: [''],
    stringToHashBucketFast: [''],
    upperBound: [''],
  }),
  ...leaveOut(
    'tensorflow',
    "tfjs-node pools and transposes convolutions with the paddings 'valid' and 'same' alone",
    {
      avgPool: [
        'x=[3,3,1] f=[3,3] s=1 p=explicit',
        'gradient x=[3,3,1] f=[3,3] s=1 p=explicit',
        ...POOL_ROUNDING,
      ],
      avgPool3d: ['x=[1,2,2,2,1] f=[2,2,2] s=1 p=1 roundingMode=floor', 'x=[1,1,1,1,1] f=[2,2,2] s=1 p=2'],
      conv2dTranspose: [
        'input=3x3x1,d2=1,f=2,s=2,p=explicit',
        'gradient input=[1,3,3,1] f=[2,2,2,1] s=[1,1] p=explicit',
      ],
      maxPool: ['x=[3,3,1] f=[3,3] s=1 p=explicit', ...POOL_ROUNDING],
      maxPool3d: ['x=[1,2,2,2,1] f=[2,2,2] s=1 p=1 roundingMode=floor'],
      maxPoolBackprop: ['gradient x=[3,3,1] f=3 s=1 p=explicit'],
      pool: [
        ...['max', 'avg'].flatMap((kind) => [
          `${kind} x=[3,3,1] f=[3,3] s=1 d=1 p=explicit`,
          `${kind} x=[3,3,1] f=[3,3] s=3 d=1 p=explicit`,
          `${kind} x=[2,2,3] f=[1,1] s=2 p=1 fractional outputs default rounding`,
        ]),
      ],
    },
  ),
  ...leaveOut(
    'tensorflow',
    'tfjs-node fuses convolutions in the layout NHWC alone, as the project has them',
    {
      'fused conv2d': ['basic in NCHW', 'im2row in NCHW', 'batch in NCHW'],
    },
  ),
  ...leaveOut('tensorflow', 'TensorFlow has no kernel of the op for this dtype', {
    diag: ['bool'],
    greater: ['should support string comparison'],
    greaterEqual: ['should support string comparison'],
    leakyrelu: ['int32'],
    less: ['should support string comparison'],
    lessEqual: ['should support string comparison'],
    'step kernel': ['with int32 tensor'],
  }),
  ...leaveOut('tensorflow', 'TensorFlow refuses sizes that tfjs takes: here a window larger than its input', {
    avgPool3d: ['x=[1,1,1,1,1] f=[1,1,3] s=1 p=valid'],
  }),
  ...leaveOut(
    'tensorflow',
    'TensorFlow refuses sizes that do not come of the convolution that is transposed',
    {
      conv2dTranspose: ['input=8x8x8,output=4x4x8,f=8,s=1,inDepth=8,p=same vec4'],
    },
  ),
  ...leaveOut(
    'tensorflow',
    'TensorFlow wants updates of the shape of what they update; tfjs broadcasts them',
    {
      scatterND: [
        'should work for 2d',
        'should work for simple 1d',
        'should work for multiple 1d',
        'should sum the duplicated indices',
        'should work for tensorLike input',
      ],
    },
  ),
  ...leaveOut('tensorflow', 'TensorFlow hands a NaN on; tfjs makes it 0', {
    sign: ['basic', 'does not propagate NaNs', 'accepts a tensor-like object'],
  }),
  ...leaveOut('tensorflow', 'TensorFlow takes every NaN for a value of its own', {
    unique: ['1d tensor with NaN and Infinity'],
  }),
  ...leaveOut('tensorflow', 'TensorFlow computes equations that tfjs refuses', {
    einsum: [
      '2d matrix calculate trace: duplicate axes not implemented yet',
      'nonexistent dimension throws error',
    ],
  }),
  ...leaveOut('tensorflow', "TensorFlow's generator goes on from call to call whatever the seed", {
    multinomial: ['creates the same data given the same seed'],
  }),
  ...leaveOut('tensorflow', 'Near a pole, where the last digit of float32 decides, JavaScript has another', {
    tan: ['numbers exceed float32 precision'],
  }),
  ...leaveOut('webgpu', "tfjs's WebGPU backend has no kernel for the op", {
    bitwiseAnd: [''],
    nonMaxSuppression: ['NonMaxSuppressionPadded'],
    'raggedGather ': [''],
    'raggedRange ': [''],
    'raggedTensorToTensor ': [''],
    sparseFillEmptyRows: [''],
    sparseReshape: [''],
    staticRegexReplace: [''],
    stringSplit: [''],
    stringToHashBucketFast: [''],
    unique: [''],
  }),
  ...leaveOut('webgpu', "A GPU's programs refuse no value: they read zeros, or nothing", {
    gather: ['throws when index is out of bound'],
    sparseSegmentMean: [
      'throw error if indices < 0',
      'throw error if indices >= max rows',
      'throw error if segment ids are not increasing',
      'throw error if segment id is out of range',
      'throw error if segment id is negative',
    ],
    sparseSegmentSum: [
      ...[1, 2].map((number) => `indices invalid ${number}`),
      ...[2, 3, 4, 6, 7].map((number) => `segments invalid ${number}`),
    ],
  }),
  ...leaveOut('webgpu', 'WGSL grants exp and tan more error than the test does', {
    exp: ['int32'],
    tan: ['numbers exceed float32 precision'],
  }),
  ...leaveOut('webgpu', "tfjs's WebGPU backend takes pixels from a browser's canvas alone", {
    'fromPixels, mock canvas': ['accepts a canvas-like element'],
  }),
  {
    engine: 'webgpu',
    name: 'time cpu webgpu {} simple upload',
    reason: 'tfjs measures no uploads to WebGPU',
  },
];
