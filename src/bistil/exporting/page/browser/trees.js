// The best dependency tree of a sentence, decoded from scores; what bistil/runtime/trees.py does.

import { argmax } from "./arrays.js";

/**
 * The heads of the tree with the highest sum of scores, exactly one word of which hangs on the root.
 *
 * Row w of the scores is the word w + 1, column 0 the root, column h the word h; what they say of a word as its
 * own head is not read. bestTree([[5, 0, 9], [4, 6, 0]]) is [2, 0], for 9 + 4 is more than 5 + 6.
 */
export function bestTree(scores) {
  const weights = scores.map((row) => Float64Array.from(row));
  if (!weights.every((row) => row.every(Number.isFinite))) throw new Error("The scores of a tree are not finite.");
  weights.forEach((row, word) => (row[word + 1] = -Infinity));
  const greedy = weights.map(argmax);
  return isTree(greedy) ? greedy : edmonds(weights);
}

/** Whether every word comes to the root by its heads, and one word alone hangs on it. */
export function isTree(heads) {
  if (heads.filter((head) => head === 0).length !== 1) return false;
  let above = [0, ...heads];
  for (let far = 1; far <= heads.length; far *= 2) above = above.map((head) => above[head]);
  return above.every((head) => head === 0);
}

// Edmonds' algorithm where the root may have one child: words take heads among words alone, so that one cycle
// after the other is merged into one node until a single node is left, which the root enters. A node is called by
// one of its words, and edges enter it at what they gain over the edge of the cycle that they replace.
function edmonds(weights) {
  const merged = [];
  const path = [0];
  let left = weights.length;
  while (left > 1) {
    const head = argmax(weights[path.at(-1)].subarray(1));
    const at = path.indexOf(head);
    if (at < 0) {
      path.push(head);
      continue;
    }
    const cycle = path.slice(at); // each headed by the next, the last by the first
    const columns = cycle.map((node) => node + 1);
    const entering = cycle.map((node, place) => {
      const replaced = weights[node][columns[(place + 1) % cycle.length]];
      return weights[node].map((weight) => weight - replaced);
    });
    const entered = Array.from(weights[head], (_, column) => argmax(entering.map((row) => row[column])));
    const leaving = weights.map((row) => columns.map((column) => row[column]));
    const leftFrom = leaving.map(argmax);
    merged.push({ cycle, columns, entered, leftFrom });
    weights[head] = Float64Array.from(entered, (place, column) => entering[place][column]);
    weights.forEach((row, word) => {
      row[head + 1] = leaving[word][leftFrom[word]];
      for (const column of columns.slice(1)) row[column] = -Infinity;
    });
    weights[head][head + 1] = -Infinity;
    path.length = at + 1;
    left -= cycle.length - 1;
  }
  const heads = new Array(weights.length).fill(0);
  for (const { cycle, columns, entered, leftFrom } of merged.reverse()) {
    heads.forEach((head, word) => {
      if (head === columns[0]) heads[word] = columns[leftFrom[word]];
    });
    const outside = heads[cycle[0]];
    cycle.forEach((node, place) => (heads[node] = columns[(place + 1) % cycle.length]));
    heads[cycle[entered[outside]]] = outside;
  }
  return heads;
}
