import { answer, answerJson, type HttpRequest, type HttpResponse, pathOf } from "./handler.ts";

/**
 * `/healthz`: the process runs. `/readyz`: it can serve; 503 while not, so that a balancer sends
 * callers elsewhere.
 * @returns true when the request was for one of them and has been answered.
 */
export function answerHealth(
  ready: () => boolean,
  request: HttpRequest,
  response: HttpResponse,
): boolean {
  if (request.method !== "GET" && request.method !== "HEAD") return false;
  switch (pathOf(request)) {
    case "/healthz":
      answer(request, response, { status: 200, type: "text/plain", body: "ok" });
      return true;
    case "/readyz": {
      const isReady = ready();
      answerJson(request, response, isReady ? 200 : 503, { ready: isReady });
      return true;
    }
    default:
      return false;
  }
}
