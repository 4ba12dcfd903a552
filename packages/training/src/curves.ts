import type { EpochMetrics } from '@headstart/contracts';

const PANEL = { width: 420, height: 260 };
const MARGIN = { left: 52, right: 14, top: 34, bottom: 40 };
const COLOURS = { train: '#2563eb', val: '#ea580c' };
const GRID_LINES = 5;

interface Panel {
  title: string;
  train: number[];
  val: number[];
  range: [number, number];
}

/** curves.svg: loss and accuracy over the epochs, training and validation, side by side. */
export function curvesSvg(metrics: readonly EpochMetrics[]): string {
  const losses = metrics.flatMap(({ loss, valLoss }) => [loss, valLoss]);
  const panels: Panel[] = [
    {
      title: 'Loss',
      train: metrics.map(({ loss }) => loss),
      val: metrics.map(({ valLoss }) => valLoss),
      range: [0, Math.max(...losses) || 1],
    },
    {
      title: 'Accuracy',
      train: metrics.map(({ accuracy }) => accuracy),
      val: metrics.map(({ valAccuracy }) => valAccuracy),
      range: [0, 1],
    },
  ];
  const body = panels
    .map((panel, index) => `<g transform="translate(${index * PANEL.width} 0)">${drawPanel(panel)}</g>`)
    .join('');
  const width = panels.length * PANEL.width;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${PANEL.height}" viewBox="0 0 ${width} ${PANEL.height}" ` +
    `font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>${body}</svg>\n`
  );
}

function drawPanel({ title, train, val, range: [low, high] }: Panel): string {
  const innerWidth = PANEL.width - MARGIN.left - MARGIN.right;
  const innerHeight = PANEL.height - MARGIN.top - MARGIN.bottom;
  const x = (epoch: number) =>
    MARGIN.left + (train.length === 1 ? 0.5 : epoch / (train.length - 1)) * innerWidth;
  const y = (value: number) => MARGIN.top + (1 - (value - low) / (high - low)) * innerHeight;
  const grid = Array.from({ length: GRID_LINES + 1 }, (_, i) => {
    const value = low + ((high - low) * i) / GRID_LINES;
    const at = y(value).toFixed(1);
    return (
      `<line x1="${MARGIN.left}" x2="${PANEL.width - MARGIN.right}" y1="${at}" y2="${at}" stroke="#e5e7eb"/>` +
      `<text x="${MARGIN.left - 6}" y="${at}" text-anchor="end" dominant-baseline="middle" fill="#6b7280">${value.toPrecision(2)}</text>`
    );
  });
  const line = (values: number[], colour: string) => {
    const points = values.map((value, epoch) => `${x(epoch).toFixed(1)},${y(value).toFixed(1)}`);
    const dots = points
      .map((point) => `<circle cx="${point.replace(',', '" cy="')}" r="2" fill="${colour}"/>`)
      .join('');
    return `<polyline points="${points.join(' ')}" fill="none" stroke="${colour}" stroke-width="1.5"/>${dots}`;
  };
  const legend = Object.entries(COLOURS).map(
    ([name, colour], i) =>
      `<text x="${PANEL.width - MARGIN.right - 90 + i * 50}" y="20" fill="${colour}">${name}</text>`,
  );
  return (
    `<text x="${MARGIN.left}" y="20" font-weight="bold">${title}</text>${legend.join('')}${grid.join('')}` +
    `<text x="${MARGIN.left}" y="${PANEL.height - 14}" fill="#6b7280">epoch 1 to ${train.length}</text>` +
    line(train, COLOURS.train) +
    line(val, COLOURS.val)
  );
}
