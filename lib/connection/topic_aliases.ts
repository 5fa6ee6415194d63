/**
 * The topic aliases of a session (MQTT 5 section 3.3.2.3.4): a number in place of a topic that the server knows. Pure.
 *
 * Each topic has one in the order of its first message, as long as there are some. It stands in place of the topic only
 * after a message that named both was acknowledged: whether a refused one made it known is not said.
 */

/** The number of a topic. */
export interface TopicAlias {
  /** As a PUBLISH has it. */
  readonly properties: { readonly topicAlias: number };
  /** The server knows what it stands for. */
  isKnown: boolean;
}

/** Bytes of an alias in a PUBLISH. */
export const TOPIC_ALIAS_BYTES = 3;

/** The aliases of a session. */
export class TopicAliases {
  readonly #most: number;
  readonly #aliases = new Map<string, TopicAlias>();

  /** @param most Topic Alias Maximum of the server. */
  constructor(most = 0) {
    this.#most = most;
  }

  /** The alias of a topic; undefined: it has none. */
  of(topic: string): TopicAlias | undefined {
    const { size } = this.#aliases;
    const alias = this.#aliases.get(topic);
    if (alias !== undefined || size === this.#most) return alias;
    const made = { properties: { topicAlias: size + 1 }, isKnown: false };
    this.#aliases.set(topic, made);
    return made;
  }
}
