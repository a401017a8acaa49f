// The worker that runs the models, so that the page stays responsive. Models are loaded when they are first asked.

import { fetched } from "./fetched.js";
import { TaskModel } from "./model.js";

const models = new Map();

addEventListener("message", async ({ data: { description, inputs } }) => {
  try {
    const model = await loaded(description);
    const start = performance.now();
    const results = await model.predict(inputs);
    postMessage({ milliseconds: performance.now() - start, results });
  } catch (error) {
    postMessage({ error: error.message });
  }
});

async function loaded(description) {
  const { name, folder } = description;
  const path = folder.split("/").map(encodeURIComponent).join("/"); // a name may have a # in it
  const read = (file) => bytes(new URL(`./${path}/${file}`, import.meta.url));
  if (!models.has(name)) models.set(name, await TaskModel.load(description, read));
  return models.get(name);
}

async function bytes(url) {
  const response = await fetched(url);
  return response.arrayBuffer();
}
