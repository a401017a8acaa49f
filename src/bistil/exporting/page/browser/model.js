// A task model: its tokenizer, its ONNX file, and what it says of texts, as bistil.load(folder) does in Python.

import { classify } from "./classification.js";
import { Engine } from "./engine.js";
import { parse } from "./parsing.js";
import { answer } from "./qa.js";
import { Tokens } from "./tokens.js";
import { findEntities, tag } from "./words.js";

const TASKS = {
  pos: tag,
  xpos: tag,
  ner: findEntities,
  parsing: parse,
  "parsing-subtypes": parse,
  classification: classify,
  qa: answer,
};

export class TaskModel {
  /** From its description in models.json; `read` gives the bytes of a file of its folder. */
  static async load(description, read) {
    const [graph, specification] = await Promise.all([read("onnx/model_quantized.onnx"), read("tokenizer.json")]);
    const tokens = new Tokens(JSON.parse(new TextDecoder().decode(specification)), description.reading);
    return new TaskModel(description, tokens, await Engine.load(new Uint8Array(graph)));
  }

  constructor({ task, labels, reading }, tokens, engine) {
    Object.assign(this, { task, labels, reading, tokens, engine });
  }

  /** What the engine gives for each input. */
  run(inputs) {
    return this.engine.run(inputs, this.reading.padding);
  }

  /** A result for each input. */
  predict(inputs) {
    return TASKS[this.task](this, inputs);
  }
}
