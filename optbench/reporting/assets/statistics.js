// Statistics that are recomputed for a selection, as defined in docs/methodology.md.

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (!sorted.length) return null;
  if (sorted.length % 2) return sorted[middle];
  const [low, high] = [sorted[middle - 1], sorted[middle]];
  return low === high ? low : (low + high) / 2;
}

const mean = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null);

/** The mean without the ⌊n/4⌋ lowest and the ⌊n/4⌋ highest values. */
function interquartileMean(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const cut = Math.floor(sorted.length / 4);
  return mean(sorted.slice(cut, sorted.length - cut));
}

function logGamma(x) {
  const terms = [
    76.18009172947146, -86.50532032941677, 24.01409824083091, -1.231739572450155, 0.1208650973866179e-2,
    -0.5395239384953e-5,
  ];
  const shifted = x + 5.5 - (x + 0.5) * Math.log(x + 5.5);
  const sum = terms.reduce((total, term, place) => total + term / (x + 1 + place), 1.000000000190015);
  return -shifted + Math.log((2.5066282746310005 * sum) / x);
}

/** The logarithm of the beta function. */
const logBeta = (a, b) => logGamma(a) + logGamma(b) - logGamma(a + b);

/** The regularised incomplete beta function, by its continued fraction (Lentz). */
function incompleteBeta(x, a, b, scale = logBeta(a, b)) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a, scale);
  const front = Math.exp(a * Math.log(x) + b * Math.log(1 - x) - scale) / a;
  const tiny = 1e-300;
  let c = 1;
  let d = 1 / (1 - ((a + b) * x) / (a + 1) || tiny);
  let fraction = d;
  const apply = (factor) => {
    d = 1 / (1 + factor * d || tiny);
    c = 1 + factor / c || tiny;
    fraction *= c * d;
  };
  for (let m = 1; m < 300; m += 1) {
    apply((m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m)));
    apply((-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1)));
    if (Math.abs(c * d - 1) < 1e-14) break;
  }
  return front * fraction;
}

function betaQuantile(p, a, b) {
  const scale = logBeta(a, b);
  let low = 0;
  let high = 1;
  for (let step = 0; step < 60; step += 1) {
    const middle = (low + high) / 2;
    if (incompleteBeta(middle, a, b, scale) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** The mean of scores between 0 and 1, with the bounds of Clopper and Pearson. */
function share(scores) {
  const n = scores.length;
  if (!n) return [null, null, null];
  const total = scores.reduce((sum, score) => sum + score, 0);
  const low = total < 1 ? 0 : betaQuantile(0.025, total, n - total + 1);
  const high = total > n - 1 ? 1 : betaQuantile(0.975, total + 1, n - total);
  return [total / n, low, high];
}

/** Whether losses are equal up to rounding in single precision. */
const equalLoss = (one, other) =>
  one === other || (Number.isFinite(one) && Number.isFinite(other) && Math.abs(one - other) <= 1e-6 * Math.abs(other));

/** For every ordered pair of optimizers, the probability that the first is better, from rows of seed_losses. */
function improvements(rows, names) {
  const places = new Map(names.map((name, place) => [name, place]));
  const pairs = names.length ** 2;
  const sums = new Map();
  for (const task of grouped(rows, taskOf).values()) {
    // Seeds that are copies of others count once, pair by pair.
    const earlier = task.some((row) => row.copy_of !== row.seed) ? new Set() : null;
    for (const [seed, own] of [...grouped(task, (row) => row.seed)].sort((one, other) => one[0] - other[0])) {
      const key = `${task[0].problem}\u0000${seed}`;
      if (!sums.has(key)) sums.set(key, { sum: new Float64Array(pairs), count: new Uint32Array(pairs) });
      const { sum, count } = sums.get(key);
      const known = own.filter((row) => places.has(row.optimizer));
      for (const one of known)
        for (const other of known) {
          if (one === other) continue;
          const pair = places.get(one.optimizer) * names.length + places.get(other.optimizer);
          if (earlier) {
            const copied = `${pair}:${one.copy_of}:${other.copy_of}`;
            if (earlier.has(copied)) continue;
            earlier.add(copied);
          }
          sum[pair] += equalLoss(one.loss, other.loss) ? 0.5 : Number(one.loss < other.loss);
          count[pair] += 1;
        }
    }
  }
  const rowsOfPairs = [];
  names.forEach((optimizer, one) =>
    names.forEach((other, two) => {
      if (one === two) return;
      const pair = one * names.length + two;
      const own = [...sums.values()]
        .filter(({ count }) => count[pair])
        .map(({ sum, count }) => sum[pair] / count[pair]);
      const [probability, probability_low, probability_high] = share(own);
      rowsOfPairs.push({ optimizer, other, probability, probability_low, probability_high, n_pairs: own.length });
    }),
  );
  return rowsOfPairs;
}

/** The rows of normalised scores for the tasks and seeds on which all of these optimizers were run. */
function commonScores(rows, names) {
  const kept = [];
  for (const problem of grouped(
    rows.filter((row) => row.score !== null && names.includes(row.optimizer)),
    (row) => row.problem,
  ).values()) {
    const tasks = [...grouped(problem, taskOf).values()].filter(
      (task) => new Set(task.map((row) => row.optimizer)).size === names.length,
    );
    const whole = tasks.flat();
    const counts = grouped(whole, (row) => row.seed);
    const seeds = new Set(
      [...counts].filter(([, own]) => own.length === names.length * tasks.length).map(([seed]) => seed),
    );
    kept.push(...whole.filter((row) => seeds.has(row.seed)));
  }
  return kept;
}
