//! Dates of the proleptic Gregorian calendar, as RFC 3339 and FHIR write them.

use deedbox_model::Timestamp;

/// `2026-01-31T12:00:00Z`.
pub(crate) fn rfc_3339(time: Timestamp) -> String {
    let (days, secs) = (time.secs() / DAY, time.secs() % DAY);
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", secs / 3600, secs / 60 % 60, secs % 60)
}

/// The first second of a FHIR `date` or `dateTime`, and the first after it: a year, a month, a day, or one second with its
/// offset. Whatever lies before 1970 counts as its beginning.
pub(crate) fn fhir(text: &str) -> Option<(Timestamp, Timestamp)> {
    let (date, clock) = text.split_once('T').map_or((text, None), |(date, clock)| (date, Some(clock)));
    let mut parts = date.split('-');
    let year: i64 = number(parts.next()?, 4)?;
    let month = parts.next().map(|month| number(month, 2)).map_or(Some(None), |month| month.map(Some))?;
    let day = parts.next().map(|day| number(day, 2)).map_or(Some(None), |day| day.map(Some))?;
    if parts.next().is_some() || month.is_some_and(|month| !(1..=12).contains(&month)) {
        return None;
    }
    let first = days(year, month.unwrap_or(1), day.unwrap_or(1));
    if let (Some(month), Some(day)) = (month, day)
        && (day < 1 || first >= next_month(year, month))
    {
        return None;
    }
    let after = match (month, day) {
        (None, _) => days(year + 1, 1, 1),
        (Some(month), None) => next_month(year, month),
        (Some(_), Some(_)) => first + 1,
    };
    let (first, after) = match clock {
        None => (first * 86_400, after * 86_400),
        Some(clock) => {
            day?;
            let second = first * 86_400 + second_of_day(clock)?;
            (second, second + 1)
        }
    };
    let time = |secs: i64| Timestamp::from_secs(u64::try_from(secs).unwrap_or(0));
    Some((time(first), time(after)))
}

/// `hh:mm:ss`, perhaps a fraction, and `Z` or an offset; in seconds from midnight in UTC.
fn second_of_day(clock: &str) -> Option<i64> {
    let zone = clock.find(['Z', '+', '-'])?;
    let (clock, zone) = clock.split_at_checked(zone)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut parts = clock.split(':');
    let (hour, minute, second) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let local = hour * 3600 + minute * 60 + second.min(59);
    if zone == "Z" {
        return Some(local);
    }
    let (sign, offset) = zone.split_at_checked(1)?;
    let (hours, minutes) = offset.split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    let offset = (hours <= 14 && minutes <= 59).then_some(hours * 3600 + minutes * 60)?;
    Some(if sign == "-" { local + offset } else { local - offset })
}

/// So many digits.
fn number(text: &str, digits: usize) -> Option<i64> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Days from 1970-01-01 to the first of the next month.
fn next_month(year: i64, month: i64) -> i64 {
    if month == 12 { days(year + 1, 1, 1) } else { days(year, month + 1, 1) }
}

/// Days from 1970-01-01 to a date; years begin in March, so that the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date so many days after 1970-01-01.
const fn date(days: u64) -> (u64, u64, u64) {
    let days = days.saturating_add(719_468);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, year_of_era) } else { (month - 9, year_of_era + 1) };
    (era * 400 + year, month, day)
}

const DAY: u64 = 86_400;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_dates() {
        for (secs, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_800_000_000, "2027-01-15T08:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc_3339(Timestamp::from_secs(secs)), text);
        }
        let secs = |text| fhir(text).map(|(first, after)| (first.secs(), after.secs()));
        assert_eq!(secs("2000-02-29"), Some((951_782_400, 951_868_800)));
        assert_eq!(secs("2000-02"), Some((949_363_200, 951_868_800)));
        assert_eq!(secs("2000"), Some((946_684_800, 978_307_200)));
        assert_eq!(secs("2000-02-29T01:00:00.5+01:00"), Some((951_782_400, 951_782_401)));
        assert_eq!(secs("2000-02-28T22:30:00-01:30"), Some((951_782_400, 951_782_401)));
        assert_eq!(secs("1964-01-01"), Some((0, 0)));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "20",
            "2000-",
            "2000-13",
            "2000-00",
            "1900-02-29",
            "2000-02-30",
            "2000-01-00",
            "2000-1-1",
            "2000-01-01T",
            "2000-01-01T24:00:00Z",
            "2000-01-01T00:60:00Z",
            "2000-01-01T00:00:00",
            "2000-01T00:00:00Z",
            "2000-01-01-01",
            "2000-01-01T00:00:00.Z",
            "2000-01-01T00:00Z",
            "2000-01-01T00:00:00+15:00",
            "+200-01-01",
        ] {
            assert_eq!(fhir(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn seconds_go_there_and_back(secs in 0u64..253_402_300_800) {
            let time = Timestamp::from_secs(secs);
            prop_assert_eq!(fhir(&rfc_3339(time)), Some((time, Timestamp::from_secs(secs + 1))));
        }
    }
}
