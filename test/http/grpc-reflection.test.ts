/** A caller that knows nothing but the address, and gRPC's own reflection contract. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { credentials, loadPackageDefinition, Metadata } from "@grpc/grpc-js";
import { loadFileDescriptorSetFromBuffer } from "@grpc/proto-loader";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { HttpServer } from "../../internal/http/server.ts";
import { callerOf, type GrpcCaller, grpcClient } from "../support/grpc-client.ts";
import { doorkeeper, KEY, serve } from "./serve.ts";

const PUSH_SERVICE = "holdfast.push.v1.PushService";

interface Answer {
  valid_host: string;
  original_request: object;
  list_services_response?: { service: { name: string }[] };
  file_descriptor_response?: { file_descriptor_proto: Buffer[] };
  all_extension_numbers_response?: { base_type_name: string; extension_number: number[] };
  error_response?: { error_code: number; error_message: string };
}

describe.each(["v1", "v1alpha"])("reflection %s", (version) => {
  let server: HttpServer;
  let reflection: GrpcCaller;

  beforeEach(async () => {
    server = await serve({ doorkeeper });
    reflection = grpcClient(
      `grpc/reflection/${version}/reflection.proto`,
      `grpc.reflection.${version}.ServerReflection`,
      server.address,
    );
  });
  afterEach(async () => {
    reflection[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  const ask = async (...requests: object[]) =>
    (await reflection.converse("ServerReflectionInfo", requests)) as Answer[];

  const names = (answer: Answer | undefined) =>
    (answer?.file_descriptor_response?.file_descriptor_proto ?? []).map(
      (bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name,
    );

  test("lists the services, without a key", async () => {
    const [answer] = await ask({ host: "h", list_services: "*" });
    expect(answer).toMatchObject({ valid_host: "h", original_request: { list_services: "*" } });
    expect(answer?.list_services_response?.service.map(({ name }) => name)).toEqual([
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
      PUSH_SERVICE,
    ]);
  });

  test("gives enough to call a service without its .proto files", async () => {
    const [answer] = await ask({ file_containing_symbol: PUSH_SERVICE });
    const file = (answer?.file_descriptor_response?.file_descriptor_proto ?? []).map((bytes) =>
      fromBinary(FileDescriptorProtoSchema, bytes),
    );
    const set = toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file }));
    const loaded = loadPackageDefinition(
      loadFileDescriptorSetFromBuffer(Buffer.from(set), { keepCase: true, defaults: true }),
    );
    using push = callerOf(loaded, PUSH_SERVICE, server.address, credentials.createInsecure());
    const key = new Metadata();
    key.set("authorization", `Bearer ${KEY}`);
    const message = { business: "chat", text: "hi" };
    const reply = await push.call("PushToDevices", { app: "demo", devices: ["d1"], message }, key);
    expect(reply).toMatchObject({ message_id: "m1", results: [{ target: "d1" }] });
  });

  test("answers each of several requests on one stream", async () => {
    const answers = await ask(
      { file_by_filename: "holdfast/push/v1/push.proto" },
      { file_containing_symbol: `${PUSH_SERVICE}.PushToDevices` },
      { file_containing_symbol: "holdfast.push.v1.Status" },
      { file_by_filename: "no/such.proto" },
      { all_extension_numbers_of_type: "google.protobuf.FieldOptions" },
      {
        file_containing_extension: {
          containing_type: "google.protobuf.FieldOptions",
          extension_number: 1159,
        },
      },
      { all_extension_numbers_of_type: "a.B" },
    );
    for (const answer of answers.slice(0, 3)) {
      expect(names(answer)[0]).toBe("holdfast/push/v1/push.proto");
      expect(names(answer)).toContain("buf/validate/validate.proto");
      expect(names(answer)).toContain("google/protobuf/descriptor.proto");
    }
    const [missing, numbers, extension, unknown] = answers.slice(3);
    expect(missing?.error_response?.error_code).toBe(5);
    expect(numbers?.all_extension_numbers_response?.extension_number).toContain(1159);
    expect(names(extension)[0]).toBe("buf/validate/validate.proto");
    expect(unknown?.error_response?.error_code).toBe(5);
  });
});
