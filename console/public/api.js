/** The page's own server, which holds the API key: console/demo-api.ts. */

/**
 * @typedef {{ app: string, lobby: string, pushUrl: string }} Config
 * @typedef {{ device: string, user: string, node: string, connectionId: string, platform: string,
 *   rooms: string[], since: number | null }} Device
 */

/**
 * @param {string} path
 * @param {unknown} [body]
 */
async function call(path, body) {
  const response = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    ...(body === undefined
      ? {}
      : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? `HTTP status ${response.status}`);
  return answer;
}

/** @returns {Promise<Config>} */
export const getConfig = () => call("/demo/config");

/** @returns {Promise<Device[]>} */
export const getDevices = async () => (await call("/demo/devices")).devices;

/**
 * @param {Record<string, unknown>} order
 * @returns {Promise<unknown>}
 */
export const push = (order) => call("/demo/push", order);
