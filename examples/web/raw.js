// Runs the file as it is, without metadata or tokenizer: numbers in, numbers out.
import { Tensor, loadAndCompile, loadLiteRt } from "@litertjs/core";

const ARRAYS = { int32: Int32Array, float32: Float32Array };
const inputs = document.getElementById("inputs");
const outputs = document.getElementById("outputs");
const status = document.getElementById("status");

function field(details) {
  const label = document.createElement("label");
  const shape = [...details.shape].join(" x ");
  label.textContent = `${details.name}: ${details.dtype}, ${shape}`;
  const numbers = document.createElement("textarea");
  numbers.name = details.name;
  numbers.rows = 3;
  label.append(numbers);
  return label;
}

function tensor(details) {
  const text = inputs.elements[details.name].value.trim();
  const given = text ? text.split(/[\s,]+/).map(Number) : [];
  const values = new ARRAYS[details.dtype](details.shape.reduce((a, b) => a * b, 1));
  if (given.length > values.length || given.some(Number.isNaN)) {
    throw new Error(`${details.name} takes up to ${values.length} numbers.`);
  }
  values.set(given); // The rest stays 0, which is padding.
  return new Tensor(values, details.shape);
}

async function run(model) {
  const named = {};
  try {
    for (const details of model.getInputDetails()) {
      named[details.name] = tensor(details);
    }
    const start = performance.now();
    const found = await model.run(named);
    const milliseconds = performance.now() - start;
    const lines = Object.entries(found).map(([name, values]) => {
      const numbers = [...values.toTypedArray()].map((value) => value.toFixed(4));
      values.delete();
      return `${name}: ${numbers.join(" ")}`;
    });
    outputs.textContent = lines.join("\n");
    status.textContent = `${milliseconds.toFixed(1)} ms in this browser.`;
  } catch (error) {
    outputs.textContent = "";
    status.textContent = error.message;
  } finally {
    Object.values(named).forEach((made) => made.delete());
  }
}

try {
  await loadLiteRt("./litert/wasm/");
  const model = await loadAndCompile("./student.tflite", { accelerator: "wasm" });
  inputs.prepend(...model.getInputDetails().map(field));
  inputs.addEventListener("submit", (event) => {
    event.preventDefault();
    run(model);
  });
  inputs.hidden = false;
  status.textContent = "Ready.";
} catch (error) {
  status.textContent = `The model could not be loaded: ${error.message}`;
}
