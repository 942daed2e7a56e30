/** Whether a subject (or key) matches a NATS filter with `*` and `>`. */
export function subjectMatcher(filter: string): (subject: string) => boolean {
  const wanted = filter.split(".");
  return (subject) => {
    const tokens = subject.split(".");
    for (const [i, token] of wanted.entries()) {
      if (token === ">") return tokens.length > i;
      if (tokens[i] === undefined || (token !== "*" && token !== tokens[i])) return false;
    }
    return tokens.length === wanted.length;
  };
}
