import { expect, test } from "vitest";
import { Account, check } from "./account.ts";

function member(name: string, ...messages: [number: number, position: bigint][]): Account {
  const account = new Account(name);
  for (const [number, position] of messages) account.message(`room ${number}`, position);
  return account;
}

test("nothing is wrong when everybody got everything once, in order", () => {
  const reports = [member("a", [1, 5n], [2, 9n]), member("b", [1, 5n], [2, 9n])];
  const verdict = check(
    reports.map((one) => one.report()),
    { room: [1, 2] },
  );
  expect(verdict).toEqual({ problems: [], wanted: 4, received: 4 });
});

test("what was lost, came twice, out of order, or was given up is found", () => {
  const told = member("told", [1, 5n], [2, 9n], [3, 10n]);
  told.gap("room");
  const accounts = [
    member("lost", [1, 5n], [3, 10n]),
    member("twice", [1, 5n], [2, 9n], [3, 10n], [3, 11n]),
    member("disorder", [2, 9n], [1, 5n], [3, 10n]),
    told,
  ];
  // Nobody says that the third was sent, but some have it.
  const { problems } = check(
    accounts.map((one) => one.report()),
    { room: [1, 2] },
  );
  expect(problems).toEqual([
    "lost in room: lost 1, such as 2",
    "twice in room: 1 came twice",
    "disorder in room: 1 out of order",
    "told in room: was told 1 times that messages are lost",
  ]);
});
