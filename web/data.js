// Asks the coordinator. Everything is read with GET; the browser's cookie says who asks.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function get(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams(parameters).toString();
  const route = "/api/v1/" + path.map(part => encodeURIComponent(part)).join("/") + (query ? "?" + query : "");
  const response = await fetch(route, {signal, headers: {Accept: "application/json"}});
  if (response.ok) return response.json();
  let message = response.statusText;
  try {
    message = (await response.json()).error ?? message;
  } catch {
    // not ours: a proxy's page
  }
  throw new Refused(response.status, message);
}
