// The server's addresses. Nothing else is ever called.

export class Problem extends Error {
  constructor(status, error) {
    super(`${error.what}: ${error.why}. ${error.fix}.`);
    this.status = status;
  }
}

let token = sessionStorage.getItem("token") ?? "";
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  setToken(given);
  history.replaceState(null, "", location.pathname);
}

export function setToken(text) {
  token = text.trim();
  sessionStorage.setItem("token", token);
}

async function call(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  for (let turn = 0; ; turn++) {
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store" });
    } catch {
      throw new Problem(0, { what: "the server does not answer", why: "it has ended or the network is down", fix: "Start it again" });
    }
    if (response.ok) return response;
    if (response.status === 429 && turn < 5) {
      const wait = Number(response.headers.get("Retry-After") ?? 1);
      await new Promise((done) => setTimeout(done, 1000 * wait));
      continue;
    }
    const answer = await response.json().catch(() => null);
    throw new Problem(response.status, answer?.error ?? { what: `status ${response.status}`, why: "the answer cannot be read", fix: "Try again" });
  }
}

function form(fields) {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one instanceof Blob) body.append(name, one, "image"); // the file's own name stays here
      else if (one !== undefined && one !== null && one !== "") body.append(name, one);
    }
  }
  return { method: "POST", body };
}

export const about = async () => (await call("/v1/about")).json();
export const segment = async (fields) => (await call("/v1/segment", form(fields))).json();
export const frames = async (fields) => (await call("/v1/frames", form(fields))).json();
export const measure = async (fields) => (await call("/v1/measure", form(fields))).json();

export async function exported(kind, fields) {
  const response = await call(`/v1/export/${kind}`, form(fields));
  const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition"))?.[1];
  return { blob: await response.blob(), name: name ?? `suraksha-${kind}` };
}

export function pngBlob(text) {
  return new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], { type: "image/png" });
}

export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
