//! The time, as it stands in names (`20261124-190000`, always UTC, so that names in order are times in order) and as
//! Incus writes it (`2026-11-24T19:00:00Z`).

use std::time::{SystemTime, UNIX_EPOCH};

const DAY: u64 = 24 * 60 * 60;

/// Now.
pub(crate) fn now() -> String {
    written(seconds())
}

/// Now, in seconds after the beginning of 1970.
pub(crate) fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map(|since| since.as_secs()).unwrap_or_default()
}

/// So many seconds after the beginning of 1970.
fn written(seconds: u64) -> String {
    let [year, month, day, hour, minute, second] = parts(seconds);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

/// The same, as Incus reads it.
pub(crate) fn for_incus(seconds: u64) -> String {
    let [year, month, day, hour, minute, second] = parts(seconds);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Reads a time of a name, in seconds after the beginning of 1970. Nothing but such a time is one.
pub(crate) fn read(text: &str) -> Option<u64> {
    let seconds = read_digits(text)?;
    (written(seconds) == text).then_some(seconds)
}

/// Reads what Incus writes; it writes the year 1 for "never".
pub(crate) fn read_of_incus(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T')?;
    let time: String = time.chars().take_while(|c| c.is_ascii_digit() || *c == ':').collect();
    read_digits(&format!("{}-{}", date.replace('-', ""), time.replace(':', "")))
}

fn read_digits(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('-').filter(|(date, time)| (date.len(), time.len()) == (8, 6))?;
    let number = |text: &str, from, to| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(date, 0, 4)?, number(date, 4, 6)?, number(date, 6, 8)?);
    let (hour, minute, second) = (number(time, 0, 2)?, number(time, 2, 4)?, number(time, 4, 6)?);
    let is_one = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
    let days = is_one.then(|| days(year, month, day))?;
    Some(days * DAY + hour * 3600 + minute * 60 + second)
}

fn parts(seconds: u64) -> [u64; 6] {
    let (year, month, day) = date(seconds / DAY);
    let of_day = seconds % DAY;
    [year, month, day, of_day / 3600, of_day / 60 % 60, of_day % 60]
}

/// The other way round: days since the beginning of 1970.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let of_era = year % 400 * 365 + year % 400 / 4 - year % 400 / 100 + of_year;
    year / 400 * 146_097 + of_era - 719_468
}

/// Year, month and day: years are counted from March, so that the day that comes every four years is their last one.
fn date(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / ERA, shifted % ERA);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / (ERA - 1)) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `date -u -d @SECONDS +%Y%m%d-%H%M%S` says it.
    #[test]
    fn a_time_is_written_as_date_writes_it() {
        for (seconds, expected) in [
            (0, "19700101-000000"),
            (951_782_399, "20000228-235959"),
            (951_868_799, "20000229-235959"),
            (1_709_164_800, "20240229-000000"),
            (1_767_225_599, "20251231-235959"),
            (1_795_547_041, "20261124-190401"),
            (4_107_542_400, "21000301-000000"),
        ] {
            assert_eq!(written(seconds), expected);
            assert_eq!(read(expected), Some(seconds));
            assert_eq!(read_of_incus(&for_incus(seconds)), Some(seconds));
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "20261124",
            "20261324-000000",
            "20260231-000000",
            "20261124-240000",
            "2026112x-000000",
            "+0261124-000000",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read_of_incus("0001-01-01T00:00:00Z"), None, "never");
        assert_eq!(read_of_incus("2026-11-24T19:04:01.954122146Z"), Some(1_795_547_041));
    }
}
