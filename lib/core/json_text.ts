/**
 * JSON as the text it came in: checked, looked into and cut, and never written anew, so that no number changes.
 *
 * NaN and Infinity, which JSON does not have and many programs write, are taken for values and left out: the member of
 * an object goes, the element of an array becomes `null`. Pure.
 */

/** A member of an object: where its value lies in the text. */
export interface Member {
  readonly key: string;
  readonly start: number;
  readonly end: number;
}

/** Deepest nesting: what reads the messages may not go deeper. */
const MAX_DEPTH = 64;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /(?:true|false|null)\b/y;
const NOT_FINITE = /[-+]?(?:nan|inf(?:inity)?)\b/iy;
const ESCAPE = /["\\/bfnrt]|u[\da-fA-F]{4}/y;
const QUOTE = 34;
const COMMA = 44;
const COLON = 58;
const OPEN_LIST = 91;
const BACKSLASH = 92;
const CLOSE_LIST = 93;
const OPEN = 123;
const CLOSE = 125;

/**
 * One JSON object in a text, with nothing but white space around it.
 *
 * @example
 * ```ts
 * import { assertEquals, assertThrows } from "@std/assert";
 * import { JsonObject } from "./json_text.ts";
 *
 * const object = new JsonObject('{"flow":20.0,"count":9007199254740993,"level":NaN}');
 * assertEquals(object.text(), '{"flow":20.0,"count":9007199254740993}');
 * assertEquals(object.notFinite, 1);
 * assertThrows(() => new JsonObject('{"a":01}'), SyntaxError, "character 7");
 * ```
 */
export class JsonObject {
  readonly #text: string;
  /** Where it stands in the text. */
  readonly #start: number;
  readonly #end: number;
  #at = 0;
  /** What is to be replaced, in order: from, to, by what. */
  readonly #cuts: [from: number, to: number, by: string][] = [];
  /** Its members, but for those whose value is NaN or Infinity. */
  readonly members: readonly Member[];
  /** Values that are NaN or Infinity, at any depth. */
  notFinite = 0;
  /** The first key that an object holds twice. */
  repeated: string | undefined;

  /** @throws {SyntaxError} If the text is no JSON object; the message says what is wrong, and where. */
  constructor(text: string) {
    this.#text = text;
    this.#space();
    this.#start = this.#at;
    if (this.#code() !== OPEN) throw this.#wrong("is no object");
    this.members = this.#object(MAX_DEPTH);
    this.#end = this.#at;
    this.#space();
    if (this.#at < text.length) throw this.#wrong("has something after its end");
  }

  /** The text of the object, or of a part of it, byte for byte but for what is left out. */
  text(start = this.#start, end = this.#end): string {
    if (this.#cuts.length === 0) return this.#text.slice(start, end);
    let text = "";
    for (const [from, to, by] of this.#cuts) {
      if (from < start || to > end) continue;
      text += this.#text.slice(start, from) + by;
      start = to;
    }
    return text + this.#text.slice(start, end);
  }

  #object(depth: number): Member[] {
    if (depth === 0) throw this.#wrong(`is nested more than ${MAX_DEPTH} deep`);
    const members: Member[] = [];
    const keys = new Set<string>();
    let comma = -1;
    this.#at++;
    this.#space();
    if (this.#code() === CLOSE) this.#at++;
    else {
      for (;;) {
        const from = this.#at;
        const key = this.#key();
        if (keys.has(key)) this.repeated ??= key;
        keys.add(key);
        this.#space();
        if (this.#code() !== COLON) throw this.#wrong("must have a colon after each key");
        this.#at++;
        this.#space();
        const start = this.#at;
        const isFinite = this.#value(depth);
        const end = this.#at;
        if (isFinite) members.push({ key, start, end });
        this.#space();
        const isLast = this.#code() === CLOSE;
        if (!isLast && this.#code() !== COMMA) throw this.#unexpected();
        const next = this.#at++;
        if (!isLast) this.#space();
        // With it goes the comma before it or, where none stays before it, all up to the next key.
        if (!isFinite) {
          const isFirst = members.length === 0;
          this.#cuts.push([isFirst ? from : comma, isFirst ? (isLast ? next : this.#at) : end, ""]);
        }
        if (isLast) break;
        comma = next;
      }
    }
    return members;
  }

  #list(depth: number): void {
    if (depth === 0) throw this.#wrong(`is nested more than ${MAX_DEPTH} deep`);
    this.#at++;
    this.#space();
    if (this.#code() === CLOSE_LIST) return void this.#at++;
    for (;;) {
      const start = this.#at;
      if (!this.#value(depth)) this.#cuts.push([start, this.#at, "null"]);
      this.#space();
      const code = this.#code();
      if (code !== COMMA && code !== CLOSE_LIST) throw this.#unexpected();
      this.#at++;
      if (code === CLOSE_LIST) return;
      this.#space();
    }
  }

  /** Passes over a value; false if it is NaN or Infinity. */
  #value(depth: number): boolean {
    const code = this.#code();
    if (code === QUOTE) this.#string();
    else if (code === OPEN) this.#object(depth - 1);
    else if (code === OPEN_LIST) this.#list(depth - 1);
    else if (!this.#matches(NUMBER) && !this.#matches(WORD)) {
      if (!this.#matches(NOT_FINITE)) throw this.#unexpected();
      this.notFinite++;
      return false;
    }
    return true;
  }

  #key(): string {
    if (this.#code() !== QUOTE) throw this.#unexpected();
    const start = this.#at;
    const isEscaped = this.#string();
    return isEscaped
      ? JSON.parse(this.#text.slice(start, this.#at))
      : this.#text.slice(start + 1, this.#at - 1);
  }

  /** Passes over a string; true if it holds an escape. */
  #string(): boolean {
    let isEscaped = false;
    for (this.#at++;; this.#at++) {
      const code = this.#code();
      if (code === QUOTE) break;
      if (code === BACKSLASH) {
        isEscaped = true;
        this.#at++;
        if (!this.#matches(ESCAPE)) throw this.#unexpected();
        this.#at--;
      } else if (!(code >= 32)) {
        throw Number.isNaN(code)
          ? this.#unexpected()
          : this.#wrong("must have no control character in a string");
      }
    }
    this.#at++;
    return isEscaped;
  }

  #matches(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    if (!pattern.test(this.#text)) return false;
    this.#at = pattern.lastIndex;
    return true;
  }

  /** The white space of JSON, and no other. */
  #space(): void {
    for (let code = this.#code(); code === 32 || (code >= 9 && code <= 13); code = this.#code()) {
      if (code === 11 || code === 12) return;
      this.#at++;
    }
  }

  #code(): number {
    return this.#text.charCodeAt(this.#at);
  }

  #unexpected(): SyntaxError {
    return this.#wrong(this.#at >= this.#text.length ? "is cut off" : "is no JSON");
  }

  #wrong(problem: string): SyntaxError {
    return new SyntaxError(`${problem} (at character ${this.#at + 1})`);
  }
}
