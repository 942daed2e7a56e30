/**
 * grpc.reflection: tools list the services of a server and call them without .proto files. Versions v1 and
 * v1alpha have the same messages under different names; old tools know only the latter.
 */
import type { DescFile, DescService } from "@bufbuild/protobuf";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import type {
  ServerReflection,
  ServerReflectionRequest,
} from "../../proto/gen/grpc/reflection/v1/reflection_pb.ts";
import type {
  ServerReflection as ServerReflectionAlpha,
  ServerReflectionRequest as ServerReflectionRequestAlpha,
} from "../../proto/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { Descriptors, encodeWithImports } from "./descriptors.ts";

/** `services`: all that the server serves, reflection too. */
export function createReflectionServices(services: readonly DescService[]): {
  v1: ServiceImpl<typeof ServerReflection>;
  v1alpha: ServiceImpl<typeof ServerReflectionAlpha>;
} {
  const descriptors = new Descriptors(services);
  const names = services.map(({ typeName }) => typeName).sort();
  return {
    v1: {
      async *serverReflectionInfo(requests) {
        for await (const request of requests) {
          yield { originalRequest: request, ...respond(request, names, descriptors) };
        }
      },
    },
    v1alpha: {
      async *serverReflectionInfo(requests) {
        for await (const request of requests) {
          yield { originalRequest: request, ...respond(request, names, descriptors) };
        }
      },
    },
  };
}

type Request = ServerReflectionRequest | ServerReflectionRequestAlpha;

function respond(request: Request, names: string[], descriptors: Descriptors) {
  const messageResponse = answerTo(request, names, descriptors);
  return { validHost: request.host, messageResponse };
}

function answerTo({ messageRequest }: Request, names: string[], descriptors: Descriptors) {
  const { case: asked, value } = messageRequest;
  switch (asked) {
    case "listServices":
      return {
        case: "listServicesResponse" as const,
        value: { service: names.map((name) => ({ name })) },
      };
    case "fileByFilename":
      return fileResponse(descriptors.file(value), value);
    case "fileContainingSymbol":
      return fileResponse(descriptors.fileOf(value), value);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = value;
      const found = descriptors
        .extensionsOf(containingType)
        .find(({ number }) => number === extensionNumber);
      return fileResponse(found?.file, `extension ${extensionNumber} of ${containingType}`);
    }
    case "allExtensionNumbersOfType":
      if (descriptors.fileOf(value) === undefined) return failed(Code.NotFound, unknown(value));
      return {
        case: "allExtensionNumbersResponse" as const,
        value: {
          baseTypeName: value,
          extensionNumber: descriptors.extensionsOf(value).map(({ number }) => number),
        },
      };
    default:
      return failed(Code.InvalidArgument, "message_request: must be set");
  }
}

function fileResponse(file: DescFile | undefined, what: string) {
  if (file === undefined) return failed(Code.NotFound, unknown(what));
  return {
    case: "fileDescriptorResponse" as const,
    value: { fileDescriptorProto: encodeWithImports(file) },
  };
}

/** Connect's codes are gRPC's. */
function failed(errorCode: Code, errorMessage: string) {
  return { case: "errorResponse" as const, value: { errorCode, errorMessage } };
}

function unknown(what: string): string {
  return `${what} is not known here`;
}
