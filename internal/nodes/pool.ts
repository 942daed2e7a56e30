/** Choosing from many addresses what one client is offered, without looking at all of them. */
import { hash32 } from "../../streams/partition.ts";
import type { Random } from "../clock/clock.ts";
import { type Address, placeOf, weightOf } from "./address.ts";

export interface Offer {
  readonly address: Address;
  /** 1 to 100 against the others offered; 0: only when they fail. */
  readonly weight: number;
}

/** Draws of which all are already offered, or may not be: then what is there has to do. */
const MOST_DRAWS = 64;
/** How many points of the ring each address has. Shares of clients differ by about a sixth then. */
const POINTS = 40;
const UINT32 = 2 ** 32;

/** Addresses of one protocol. Made anew when loads have changed. */
export class Pool {
  readonly addresses: readonly Address[];
  readonly #weights: Float64Array;
  /** Sums of the weights up to each address. */
  readonly #sums: Float64Array;

  constructor(addresses: readonly Address[]) {
    this.addresses = addresses;
    this.#weights = Float64Array.from(addresses, weightOf);
    let sum = 0;
    this.#sums = this.#weights.map((weight) => {
      sum += weight;
      return sum;
    });
  }

  /**
   * Up to `most` different ones that `may` be offered, best first. Who weighs more is likelier to come first, but
   * chance decides, so that clients admitted in one second do not all run to the same node.
   */
  draw(most: number, may: (address: Address) => boolean, random: Random): Offer[] {
    const { length } = this.addresses;
    const drawn: number[] = [];
    const total = this.#sums[length - 1] ?? 0;
    for (let turn = 0; turn < MOST_DRAWS && drawn.length < most && drawn.length < length; turn++) {
      const at = this.#at(random() * total);
      if (!drawn.includes(at) && may(this.#address(at))) drawn.push(at);
    }
    // Of few, or where few may be offered, chance does not find the last ones.
    const from = Math.floor(random() * length);
    for (let step = 0; step < length && drawn.length < most; step++) {
      const at = (from + step) % length;
      if (!drawn.includes(at) && may(this.#address(at))) drawn.push(at);
      if (length > MOST_DRAWS && step > MOST_DRAWS && drawn.length > 0) break;
    }
    let heaviest = 0;
    for (const at of drawn) heaviest = Math.max(heaviest, this.#weights[at] ?? 0);
    return drawn.map((at) => ({
      address: this.#address(at),
      weight: Math.max(1, Math.round((100 * (this.#weights[at] ?? 0)) / heaviest)),
    }));
  }

  #address(at: number): Address {
    return this.addresses[at] as Address;
  }

  /** The first whose sum is above. */
  #at(value: number): number {
    let low = 0;
    let high = this.#sums.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sums[middle] as number) > value) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/**
 * Consistent hashing (Karger et al., 1997): a device comes to the same addresses as long as they are there, and a node
 * that comes or goes moves its own share of the devices only. Does not depend on loads, so it is kept while the nodes stay the same.
 */
export class Ring {
  /** The place of each address, in order. */
  readonly #places: readonly string[];
  /** Each `hash * 2^20 + index of the place`, in order. */
  readonly #points: Float64Array;

  private constructor(places: readonly string[]) {
    this.#places = places;
    const points = new Float64Array(places.length * POINTS);
    for (const [index, place] of places.entries()) {
      for (let point = 0; point < POINTS; point++) {
        points[index * POINTS + point] = hash32(`${place}\n${point}`) * PLACES + index;
      }
    }
    this.#points = points.sort();
  }

  /** `before` when it is for the same places. */
  static of(addresses: readonly Address[], before?: Ring): Ring {
    const places = [...new Set(addresses.map(placeOf))].sort();
    return before?.isOf(places) ? before : new Ring(places);
  }

  isOf(places: readonly string[]): boolean {
    const own = this.#places;
    return own.length === places.length && own.every((place, index) => place === places[index]);
  }

  /** The places for this device, best first: at most `most` for which `may` says so. */
  placesFor(device: string, most: number, may: (place: string) => boolean): string[] {
    const found: string[] = [];
    const tried = new Set<number>();
    const from = this.#from(hash32(device));
    for (let step = 0; step < this.#points.length && found.length < most; step++) {
      const index = (this.#points[(from + step) % this.#points.length] as number) % PLACES;
      if (tried.has(index)) continue;
      tried.add(index);
      const place = this.#places[index] as string;
      if (may(place)) found.push(place);
    }
    return found;
  }

  /** The first point at or behind a hash. */
  #from(hash: number): number {
    const wanted = (hash % UINT32) * PLACES;
    let low = 0;
    let high = this.#points.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#points[middle] as number) >= wanted) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** More addresses than there will ever be; with the hash it stays within the 53 bits of a number. */
const PLACES = 2 ** 20;
