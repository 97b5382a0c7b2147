//! When: the schedules and the durations of snapshots.

/// The names that stand for a schedule.
const ALIASES: [&str; 8] =
    ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@annually", "@yearly", "@startup"];

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A cron field: its name with its article, its lowest and highest value, and words for its values.
struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    words: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "a minute", low: 0, high: 59, words: &[] },
    Field { name: "an hour", low: 0, high: 23, words: &[] },
    Field { name: "a day of the month", low: 1, high: 31, words: &[] },
    Field { name: "a month", low: 1, high: 12, words: &MONTHS },
    Field { name: "a day of the week", low: 0, high: 6, words: &DAYS },
];

/// What is wrong with a schedule (five cron fields, or aliases with commas between), and what to write.
pub(super) fn schedule(text: &str) -> Result<(), (String, String)> {
    if text.contains('@') {
        let wrong = text.split(',').map(str::trim).find(|word| !ALIASES.contains(word));
        return match wrong {
            Some(word) => {
                let near = super::super::near::nearest(word, ALIASES);
                let help = near.map_or_else(|| ALIASES.join(", "), |near| format!("did you mean `\"{near}\"`?"));
                Err((format!("`{word}` is not a schedule"), help))
            }
            None => Ok(()),
        };
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        let message = format!("a schedule has five fields, and this has {}", fields.len());
        let help = "minute, hour, day of the month, month, day of the week: `\"0 3 * * *\"` is every night at three";
        return Err((message, help.to_owned()));
    }
    for (text, field) in fields.into_iter().zip(&FIELDS) {
        if !text.split(',').all(|part| field.takes(part)) {
            let Field { name, low, high, .. } = field;
            let week = if *high == 6 { " (0 is Sunday)" } else { "" };
            let help = format!("write `*`, or {low} to {high}{week}, ranges `a-b`, steps `*/n`, lists `a,b`");
            return Err((format!("`{text}` is not {name}"), help));
        }
    }
    Ok(())
}

impl Field {
    /// `*`, `5`, `1-5`, `*/10`, `mon-fri/2`.
    fn takes(&self, part: &str) -> bool {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let step_fits = step.is_none_or(|step| number(step).is_some_and(|step| step >= 1));
        let range_fits = match range.split_once('-') {
            _ if range == "*" || range == "?" => true,
            Some((first, last)) => matches!((self.value(first), self.value(last)), (Some(a), Some(b)) if a <= b),
            None => self.value(range).is_some(),
        };
        step_fits && range_fits
    }

    fn value(&self, text: &str) -> Option<u32> {
        let word = self.words.iter().position(|word| word.eq_ignore_ascii_case(text));
        let value = match word {
            Some(at) => u32::try_from(at).ok()? + self.low,
            None => number(text)?,
        };
        (self.low..=self.high).contains(&value).then_some(value)
    }
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A duration (`30d`, `24h`, `60m`) in seconds, or what to write instead of one that is none.
pub(crate) fn duration(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (count, unit) = text.split_at(digits);
    let number = number(count).filter(|&count| count > 0);
    match (number, unit.trim()) {
        (Some(count), "d") if unit.len() == 1 => Ok(u64::from(count) * 86_400),
        (Some(count), "h") if unit.len() == 1 => Ok(u64::from(count) * 3600),
        (Some(count), "m") if unit.len() == 1 => Ok(u64::from(count) * 60),
        (Some(count), "w" | "W") => Err(format!("write days: `{}d`", count.saturating_mul(7))),
        (Some(count), "y" | "Y") => Err(format!("write days: `{}d`", count.saturating_mul(365))),
        (Some(count), unit @ ("D" | "H" | "M" | "d" | "h" | "m")) => {
            Err(format!("write `{count}{}`", unit.to_lowercase()))
        }
        (Some(count), "") => Err(format!("write its unit: `{count}d` for days, `{count}h` for hours")),
        (Some(count), "days" | "day") => Err(format!("write `{count}d`")),
        (Some(count), "hours" | "hour") => Err(format!("write `{count}h`")),
        (Some(count), "min" | "minutes" | "minute") => Err(format!("write `{count}m`")),
        _ => Err("write days, hours or minutes: `30d`, `24h`, `60m`".to_owned()),
    }
}
