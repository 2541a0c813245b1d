//! Suite `cbor`: appendix A of RFC 8949 in the form of the cbor/test-vectors project. A case passes when an encoding marked
//! `roundtrip` is read and written again to the same bytes, and any other is refused. `f818`, marked true there, must be
//! refused: RFC 8949 §3.3 forbids it.

use std::path::Path;

use deedbox_cbor::{Item, Kind, Limits, Order, Writer, read};
use serde::Deserialize;

use crate::Report;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[expect(dead_code, reason = "the same bytes in base64")]
    cbor: String,
    hex: String,
    roundtrip: bool,
    #[expect(dead_code, reason = "the value as JSON, where JSON has it")]
    decoded: Option<serde_json::Value>,
    #[expect(dead_code, reason = "the value in diagnostic notation, where JSON has none")]
    diagnostic: Option<String>,
}

pub(crate) fn run(file: &Path, report: &mut Report) {
    let Some(cases) = report.load::<Vec<Case>>(file) else { return };
    for case in cases {
        report.case(&case.hex, || {
            let want = if case.roundtrip && case.hex != "f818" { case.hex.clone() } else { "refused".to_owned() };
            (judge(&case.hex), want)
        });
    }
}

fn judge(hex: &str) -> String {
    let Some(bytes) = crate::unhex(hex) else { return "not hex".to_owned() };
    match read(&bytes, Order::Any, &Limits::new(1 << 16)) {
        Ok(item) => {
            let mut writer = Writer::new();
            match write(item, &mut writer) {
                Some(()) => crate::hex(writer.as_slice()),
                None => "unreadable".to_owned(),
            }
        }
        Err(_) => "refused".to_owned(),
    }
}

/// Writes what `item` says, by its value.
fn write(item: Item<'_>, writer: &mut Writer) -> Option<()> {
    match item.kind() {
        Kind::Uint => drop_ref(writer.uint(item.as_u64()?)),
        // Below i64: the item is the value.
        Kind::Nint => drop_ref(match item.as_i64() {
            Some(value) => writer.int(value),
            None => writer.item(item),
        }),
        Kind::Bytes => drop_ref(writer.bytes(item.as_bytes()?)),
        Kind::Text => drop_ref(writer.text(item.as_str()?)),
        Kind::Array => {
            let array = item.as_array()?;
            writer.array(array.len());
            array.iter().try_for_each(|element| write(element, writer))?;
        }
        Kind::Map => {
            let map = item.as_map()?;
            let mut whole = Some(());
            writer.map(|entries| {
                for (key, value) in map {
                    entries.entry(|w| whole = whole.and(write(key, w)), |w| drop_ref(w.item(value)));
                }
            });
            whole?;
        }
        Kind::Tag => {
            let (tag, content) = item.as_tag()?;
            write(content, writer.tag(tag))?;
        }
        Kind::Simple => drop_ref(writer.simple(item.as_simple()?)),
        Kind::Bool => drop_ref(writer.bool(item.as_bool()?)),
        Kind::Null => drop_ref(writer.null()),
        Kind::Undefined => drop_ref(writer.undefined()),
        Kind::Float => drop_ref(writer.float(item.as_f64()?)),
    }
    Some(())
}

fn drop_ref(_: &mut Writer) {}
