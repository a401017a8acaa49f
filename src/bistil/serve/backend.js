// How the page gets its data from `bistil serve`.

let token = null;

export function authorize(given) {
  token = given;
}

async function asked(address, settings = {}) {
  const headers = { ...settings.headers, ...(token === null ? {} : { Authorization: `Bearer ${token}` }) };
  const response = await fetch(address, { ...settings, headers }).catch((problem) => {
    if (settings.signal?.aborted) throw problem;
    throw new Error("The server cannot be reached. Start it again, or see whether the network is there.");
  });
  if (response.ok) return response.json();
  const { detail } = await response.json().catch(() => ({ detail: `The server answered ${response.status}.` }));
  throw Object.assign(new Error(detail), { status: response.status });
}

export async function models() {
  return (await asked("models")).models;
}

export function predict(name, inputs, signal) {
  const headers = { "Content-Type": "application/json" };
  return asked(`predict/${name}`, { method: "POST", headers, body: JSON.stringify({ inputs }), signal });
}

export function example(name, inputs) {
  const quoted = JSON.stringify({ inputs }).replaceAll("'", "'\\''");
  const address = new URL(`predict/${name}`, location.href);
  const authorization = token === null ? "" : " -H 'Authorization: Bearer TOKEN'";
  return `curl ${address} -H 'Content-Type: application/json'${authorization} -d '${quoted}'`;
}
