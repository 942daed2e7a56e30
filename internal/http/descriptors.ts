import { type DescExtension, type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";

/** The files of some services and of everything they import, found by what is in them. */
export class Descriptors {
  readonly #files = new Map<string, DescFile>();
  readonly #symbols = new Map<string, DescFile>();
  readonly #extensions: DescExtension[] = [];

  constructor(services: readonly DescService[]) {
    for (const { file } of services) this.#add(file);
  }

  /** By name, as "holdfast/push/v1/push.proto". */
  file(name: string): DescFile | undefined {
    return this.#files.get(name);
  }

  /** By the full name of a service, method, message, field, enum, enum value or extension in it. */
  fileOf(symbol: string): DescFile | undefined {
    return this.#symbols.get(symbol);
  }

  extensionsOf(message: string): DescExtension[] {
    return this.#extensions.filter(({ extendee }) => extendee.typeName === message);
  }

  #add(file: DescFile): void {
    // With its ending, which protobuf-es leaves out of its own name for it.
    const { name } = file.proto;
    if (this.#files.has(name)) return;
    this.#files.set(name, file);
    for (const type of nestedTypes(file)) {
      this.#symbols.set(type.typeName, file);
      for (const symbol of membersOf(type)) this.#symbols.set(symbol, file);
      if (type.kind === "extension") this.#extensions.push(type);
    }
    for (const imported of file.dependencies) this.#add(imported);
  }
}

/** The file and everything it imports, encoded; what imports comes before what it imports. */
export function encodeWithImports(file: DescFile): Uint8Array[] {
  const all = new Set<DescFile>();
  const add = (one: DescFile) => {
    if (all.has(one)) return;
    all.add(one);
    for (const imported of one.dependencies) add(imported);
  };
  add(file);
  return [...all].map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
}

type Type = ReturnType<typeof nestedTypes> extends Iterable<infer T> ? T : never;

function membersOf(type: Type): string[] {
  switch (type.kind) {
    case "service":
      return type.methods.map(({ name }) => `${type.typeName}.${name}`);
    case "message":
      return type.fields.map(({ name }) => `${type.typeName}.${name}`);
    case "enum": {
      // Values stand beside their enum, not in it.
      const scope = type.typeName.slice(0, type.typeName.lastIndexOf(".") + 1);
      return type.values.map(({ name }) => `${scope}${name}`);
    }
    case "extension":
      return [];
  }
}
