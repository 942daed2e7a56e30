import { InvalidArgumentError } from "commander";

/** An option's value that is a whole number from 1 on. */
export function wholeNumberFromOne(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1) {
    throw new InvalidArgumentError("must be a whole number from 1 on");
  }
  return number;
}
