//! A rule as nft writes it.

use std::fmt::{self, Display};

use super::rule::{Key, Op, Pattern, Right, Step, Verdict, steps};
use crate::firewall::live::LiveRule;

/// A rule as it would be typed, its comment left out; what is not understood of it, as JSON.
pub(crate) fn written(rule: &LiveRule) -> String {
    let steps = steps(rule).map(|step| step.map_or_else(|strange| strange.to_string(), |step| step.to_string()));
    steps.collect::<Vec<_>>().join(" ")
}

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Match { keys, op, right } => {
                let not = if *op == Op::IsNot { "!= " } else { "" };
                write!(f, "{} {not}", words(keys))?;
                match right {
                    Right::Set(name) => write!(f, "@{name}"),
                    Right::AnyOf(tuples) => f.write_str(&any_of(*op, tuples)),
                }
            }
            Self::Map { keys, entries } => {
                let entry = |(tuple, to): &(Vec<Pattern>, Verdict)| format!("{} : {to}", joined(tuple, " . "));
                let entries: Vec<String> = entries.iter().map(entry).collect();
                write!(f, "{} vmap {{ {} }}", words(keys), entries.join(", "))
            }
            Self::Say(verdict) => verdict.fmt(f),
            Self::Log => f.write_str("log"),
        }
    }
}

fn words(keys: &[Key]) -> String {
    keys.iter().map(|key| key.words()).collect::<Vec<_>>().join(" . ")
}

fn any_of(op: Op, tuples: &[Vec<Pattern>]) -> String {
    // Sets are kept in the order of their JSON; ports read better by number.
    let mut tuples: Vec<&Vec<Pattern>> = tuples.iter().collect();
    tuples.sort_by_key(|tuple| match tuple.as_slice() {
        [Pattern::Number(first) | Pattern::Numbers(first, _)] => *first,
        _ => 0,
    });
    let each: Vec<String> = tuples.into_iter().map(|tuple| joined(tuple, " . ")).collect();
    match each.as_slice() {
        [one] => one.clone(),
        several if op == Op::Has => several.join(","),
        several => format!("{{ {} }}", several.join(", ")),
    }
}

impl Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Interface(name) => write!(f, "\"{name}\""),
            Self::Start(start) => write!(f, "\"{start}*\""),
            Self::Number(number) => write!(f, "{number}"),
            Self::Numbers(first, last) => write!(f, "{first}-{last}"),
            Self::Address(address) => write!(f, "{address}"),
            Self::Addresses(first, last) => write!(f, "{first}-{last}"),
            Self::Net(net) => write!(f, "{net}"),
            Self::Exists(there) => f.write_str(if *there { "exists" } else { "missing" }),
        }
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Reject => f.write_str("reject"),
            Self::Continue => f.write_str("continue"),
            Self::Return => f.write_str("return"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

fn joined<T: Display>(each: &[T], between: &str) -> String {
    each.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::kernel::Namespace;
    use crate::firewall::ruleset::batch;
    use crate::firewall::sample;

    /// Sets in one order: the kernel has its own.
    fn sorted(line: &str) -> String {
        let Some((head, rest)) = line.split_once("{ ") else { return line.to_owned() };
        let (set, tail) = rest.split_once(" }").unwrap();
        let mut elements: Vec<&str> = set.split(", ").collect();
        elements.sort_unstable();
        format!("{head}{{ {} }}{}", elements.join(", "), sorted(tail))
    }

    #[test]
    fn every_rule_is_written_as_nft_writes_it() {
        let host = Namespace::new();
        host.nft(&batch(&sample::wall()));
        let listing = host.run("nft list ruleset");
        // A set of the table goes over several lines.
        let rules = listing.lines().filter(|line| line.contains(" comment ") && !line.ends_with(','));
        let listed: Vec<String> = rules.map(str::trim).map(sorted).collect();
        let rules = host.live().unwrap().chains.into_values().flat_map(|chain| chain.rules);
        for rule in rules {
            let line = format!("{} comment \"{}\"", written(&rule), rule.comment.as_deref().unwrap());
            assert!(listed.contains(&sorted(&line)), "{line}\nis not in\n{listing}");
        }
    }
}
