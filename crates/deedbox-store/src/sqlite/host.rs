//! What belongs to the host, and to no store: the greatest time noted, and the meters.

use deedbox_model::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::open::{Outcome, from_int, to_int};
use crate::types::{MAX_SEQ, MeterRow, Total};

pub(super) fn noted(db: &Connection) -> Outcome<Timestamp> {
    Ok(Timestamp::from_secs(from_int(db.query_row("SELECT time FROM noted", [], |row| row.get(0))?)?))
}

pub(super) fn note(db: &Connection, now: Timestamp, usage: &[MeterRow]) -> Outcome<Timestamp> {
    db.execute("UPDATE noted SET time = max(time, ?)", [to_int(now.secs().min(MAX_SEQ))?])?;
    let mut find = db.prepare("SELECT count, bytes FROM meter WHERE meter = ? AND day = ? AND class = ?")?;
    let mut put = db.prepare(
        "INSERT INTO meter (meter, day, class, count, bytes) VALUES (?, ?, ?, ?, ?) ON CONFLICT (meter, day, class)
         DO UPDATE SET count = excluded.count, bytes = excluded.bytes",
    )?;
    for row in usage {
        let day = to_int(row.day.min(MAX_SEQ))?;
        let held = find
            .query_row(params![row.meter, day, row.class], |held| Ok((held.get::<_, i64>(0)?, held.get::<_, i64>(1)?)))
            .optional()?;
        let (count, bytes) = held.unwrap_or_default();
        let mut sum = Total { count: from_int(count)?, bytes: from_int(bytes)? };
        sum.add(row.total.count, row.total.bytes);
        let (count, bytes) = (to_int(sum.count.min(MAX_SEQ))?, to_int(sum.bytes.min(MAX_SEQ))?);
        put.execute(params![row.meter, day, row.class, count, bytes])?;
    }
    noted(db)
}

pub(super) fn meter(db: &Connection, meter: [u8; 16]) -> Outcome<Vec<MeterRow>> {
    let mut select = db.prepare("SELECT day, class, count, bytes FROM meter WHERE meter = ? ORDER BY day, class")?;
    let mut rows = select.query([meter])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let total = Total { count: from_int(row.get(2)?)?, bytes: from_int(row.get(3)?)? };
        out.push(MeterRow { meter, day: from_int(row.get(0)?)?, class: row.get(1)?, total });
    }
    Ok(out)
}

pub(super) fn meters_drop(db: &Connection, day: u64) -> Outcome<u64> {
    let gone = db.execute("DELETE FROM meter WHERE day < ?", [to_int(day.min(MAX_SEQ))?])?;
    Ok(u64::try_from(gone).unwrap_or(u64::MAX))
}
