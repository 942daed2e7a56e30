/** What the fold asks of the mailbox, done with it. Everything here rejects when nobody answers. */
import type { Mailbox, Receipts } from "../../bus/contract.ts";
import type { DeliveryEffect, Loaded } from "./effects.ts";
import type { HandledMarks } from "./handled-marks.ts";
import type { AckedUnread, Inbox, Purge } from "./inbox.ts";

/** How many messages that were acknowledged without having been read are read at once for their receipts. */
export const RECEIPTS_AT_ONCE = 64;

interface Stores {
  readonly mailbox: Mailbox;
  readonly receipts: Receipts;
}

export async function findMail(
  { inbox, entries, handled: wanted }: DeliveryEffect & { kind: "load" },
  { mailbox }: Stores,
  marks: HandledMarks,
): Promise<Loaded> {
  const { app, device } = inbox;
  const places = entries.map(({ mailedAs }) => mailedAs);
  const [mails, handled] = await Promise.all([
    mailbox.load(app, device, places),
    wanted ? marks.of(app, device) : 0,
  ]);
  return { mails, handled };
}

export async function purgeMail(
  inbox: Inbox,
  { handled, acked, places }: Purge,
  stores: Stores,
  marks: HandledMarks,
): Promise<void> {
  const { app, device } = inbox;
  if (handled > 0) await marks.raise(app, device, handled);
  for (const unread of acked) await tellOf(inbox, unread, stores);
  await stores.mailbox.purge(app, device, places);
}

/** Writes the receipts of mail that was acknowledged to an earlier owner. */
async function tellOf(
  { app, device }: Inbox,
  { places, step }: AckedUnread,
  { mailbox, receipts }: Stores,
): Promise<void> {
  for (let from = 0; from < places.length; from += RECEIPTS_AT_ONCE) {
    const some = places.slice(from, from + RECEIPTS_AT_ONCE);
    for (const mail of (await mailbox.load(app, device, some)).values()) {
      const { sequence, messageId, business, expiresAtMs } = mail;
      const steps = [step];
      receipts.write({ app, device, messageId, business, sequence, expiresAtMs, steps });
    }
  }
}
