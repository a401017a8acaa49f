// Functions of arrays of numbers.

export function argmax(values) {
  let best = 0;
  for (let at = 1; at < values.length; at += 1) if (values[at] > values[best]) best = at;
  return best;
}

/** softmax([0, 0]) is [0.5, 0.5]. */
export function softmax(values) {
  const most = values[argmax(values)];
  const powers = Array.from(values, (value) => Math.exp(value - most));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}
