// Where the page gets its data: models that run here, in the browser, in a worker.

import { fetched } from "./fetched.js";

export const authorize = null; // nobody is asked for a token

let described = null;
let worker = null;
let last = Promise.resolve();

/** What there is: [{name, task, title, labels, languages, engine, megabytes, pair, examples}, …]. */
export async function models() {
  return (await descriptions()).map(({ folder, reading, ...shown }) => shown);
}

/**
 * What a model says of some inputs: {milliseconds, results}, the latter as bistil's results in Python.
 *
 * An input is a text, {text, text_pair}, or {question, context}. The first call for a model loads it, which is not
 * in the time. One call runs after the other; one that is aborted while it waits is not run at all.
 */
export async function predict(name, inputs, signal) {
  const description = (await descriptions()).find((one) => one.name === name);
  if (!description) throw new Error(`There is no model ${name}.`);
  const turn = last
    .catch(() => {})
    .then(() => {
      signal?.throwIfAborted();
      return ask({ description, inputs });
    });
  last = turn;
  return Promise.race([turn, aborted(signal)]);
}

async function descriptions() {
  described ??= fetched(new URL("./models.json", import.meta.url)).then((response) => response.json());
  return described;
}

function ask(question) {
  worker ??= new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data: { error, ...found } }) => (error ? reject(new Error(error)) : resolve(found));
    worker.onerror = () => reject(new Error("The worker cannot be started. Try a current browser."));
    worker.postMessage(question);
  });
}

// Never resolves; a call that runs already is not waited for.
function aborted(signal) {
  return new Promise((_, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
