//! The table of routes, from which the router and its OpenAPI 3.1 description are made.

use serde_json::{Value, json};

use crate::error::{CODES, HostError};
use crate::problem::PROBLEM;
use crate::request::Method;

/// A route as it is served and described.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    id: &'static str,
    summary: &'static str,
    /// Operations of the capability; empty: none is asked for.
    ops: &'static str,
    query: &'static [(&'static str, Form, bool)],
    /// Media type and what it is, in the CDDL of `docs/format/host.md`.
    body: Option<(&'static str, &'static str)>,
    replies: &'static [(u16, Option<&'static str>, &'static str)],
}

/// The form of a parameter.
#[derive(Debug, Clone, Copy)]
enum Form {
    Cursor,
    Number,
}

impl Entry {
    pub(crate) fn is_feed(&self) -> bool {
        self.id == "feed"
    }

    pub(crate) fn is_usage(&self) -> bool {
        self.id == "usage"
    }

    fn is_blob(&self) -> bool {
        self.id.ends_with("_blob")
    }
}

const CBOR: &str = "application/cbor";
const BYTES: &str = "application/octet-stream";

macro_rules! table {
    ($($method:ident $path:literal $id:ident [$ops:literal] ($($query:ident: $form:ident $required:literal),*)
        $body:expr => [$($status:literal $media:expr, $what:literal);+] $summary:literal)*) => {
        &[$(Entry {
            method: Method::$method,
            path: $path,
            id: stringify!($id),
            summary: $summary,
            ops: $ops,
            query: &[$((stringify!($query), Form::$form, $required)),*],
            body: $body,
            replies: &[$(($status, $media, $what)),+],
        }),*]
    };
}

/// Every route but the description's own and the sign of life. Those of one path stand together.
pub(crate) const TABLE: &[Entry] = table! {
    Post "/v1/stores" create_store [""] () Some((CBOR, "create")) => [201 None, "made"]
        "Makes a store, where the host admits it"
    Get "/v1/stores/{s}/header" header [""] () None => [200 Some(CBOR), "[version: uint, header: bstr]"]
        "Reads the store's header, by its true id and without a proof"
    Get "/v1/stores/{s}/shares/{epoch}" share ["64"] () None => [200 Some(CBOR), "bstr .size 32"]
        "Reads the host's share of an epoch"
    Put "/v1/stores/{s}/shares/{epoch}" put_share ["64"] () Some((CBOR, "bstr .size 32")) => [204 None, "kept"]
        "Keeps the host's share of an epoch"
    Delete "/v1/stores/{s}/shares/{epoch}" drop_share ["64"] () None => [204 None, "forgotten"]
        "Forgets the host's share of an epoch"
    Post "/v1/stores/{s}/commit" commit ["2, 4, 64"] () Some((CBOR, "commit-body")) => [204 None, "done and durable";
        409 Some(CBOR), "conflict: what is in force instead"] "Changes datasets, pushes mail, exchanges the header: all or nothing"
    Get "/v1/stores/{s}/datasets/{d}/heads" heads ["1"] (after: Number false) None => [200 Some(CBOR), "[* head: bstr]"]
        "Reads heads in order"
    Post "/v1/stores/{s}/datasets/{d}/objects" objects ["1"] () Some((CBOR, "[* object: b16]")) => [200 Some(CBOR), "[head: bstr, [* obj / null]]"] "Reads objects by id"
    Get "/v1/stores/{s}/datasets/{d}/changes" changes ["1"] (after: Cursor false, limit: Number false) None => [200 Some(CBOR), "page"] "Reads the next objects in the order they were written"
    Get "/v1/stores/{s}/datasets/{d}/leaves" leaves ["1"] () None => [200 Some(CBOR), "[head: bstr, leaves: bstr]"]
        "Reads all leaf hashes, without ids"
    Get "/v1/stores/{s}/datasets/{d}/feed" feed ["1"] () None => [200 Some("text/event-stream"),
        "events `head` (id and data: the new number) and, last, `end` (data: Revoked, Paused, Expired or Closing)"]
        "Tells of new heads, from Last-Event-ID on"
    Put "/v1/stores/{s}/blobs/{b}" put_blob ["32"] (seal: Number false) Some((BYTES, "the next bytes of the blob")) => [204 None, "appended, sealed"] "Appends to a blob at Content-Range, and seals it at a length"
    Get "/v1/stores/{s}/blobs/{b}" get_blob ["16"] () None => [200 Some(BYTES), "the whole blob";
        206 Some(BYTES), "the bytes of Range, at most 1 MiB of them"] "Reads a blob"
    Head "/v1/stores/{s}/blobs/{b}" head_blob ["16, 32"] () None => [200 None, "length and seal, in the headers"]
        "Reads how long a blob is, and whether it is sealed"
    Post "/v1/stores/{s}/mail/{m}" push_mail ["4"] () Some((CBOR, "[dedupe: b16, body: bstr]")) => [204 None, "pushed"]
        "Pushes an item of mail"
    Get "/v1/stores/{s}/mail/{m}" list_mail ["8"] (after: Number false) None => [200 Some(CBOR), "[* [n: uint, dedupe: b16, at: uint, body: bstr]]"] "Lists mail"
    Delete "/v1/stores/{s}/mail/{m}" ack_mail ["8"] (upto: Number true) None => [200 Some(CBOR), "uint: how many"]
        "Deletes mail that was taken"
    Get "/v1/stores/{s}/capabilities" list_capabilities ["64"] () None => [200 Some(CBOR), "[* row]"]
        "Lists capabilities"
    Get "/v1/stores/{s}/capabilities/{c}" capability ["64"] () None => [200 Some(CBOR), "row"] "Reads a capability"
    Put "/v1/stores/{s}/capabilities/{c}" put_capability ["64"] () Some((CBOR, "capability")) => [201 None, "made";
        204 None, "written"] "Writes a capability"
    Patch "/v1/stores/{s}/capabilities/{c}" set_state ["64"] () Some((CBOR, "state: 0..2")) => [204 None, "durable"]
        "Pauses, resumes or revokes a capability"
    Put "/v1/stores/{s}/aliases/{a}" put_alias ["64"] () None => [204 None, "set"] "Sets an alias"
    Delete "/v1/stores/{s}/aliases/{a}" drop_alias ["64"] () None => [204 None, "removed"] "Removes an alias"
    Post "/v1/stores/{s}/purge" purge ["64"] () Some((CBOR, "purge")) => [200 Some(CBOR), "purge-receipt"]
        "Removes for good"
    Get "/v1/stores/{s}/usage" usage ["64"] () None => [200 Some(CBOR), "{ * class: uint => [count: uint, bytes: uint] }"]
        "Reads the store's totals; as JSON too"
};

/// The OpenAPI 3.1 description of [`router`](super::router), as it is served under `/v1/openapi.json`.
#[must_use]
pub fn openapi() -> Value {
    let mut paths = serde_json::Map::new();
    for entry in TABLE {
        let methods = paths.entry(entry.path).or_insert_with(|| json!({ "parameters": path_parameters(entry.path) }));
        if let Some(methods) = methods.as_object_mut() {
            methods.insert(entry.method.as_str().to_lowercase(), operation(entry));
        }
    }
    let plain = |id: &str, summary: &str, status: &str, content: Value| {
        let mut reply = json!({ "description": summary });
        if let (Some(reply), false) = (reply.as_object_mut(), content.is_null()) {
            reply.insert("content".to_owned(), content);
        }
        json!({ "get": { "operationId": id, "summary": summary, "security": [], "responses": { status: reply } } })
    };
    let document = json!({ "application/json": {} });
    paths.insert("/v1/openapi.json".to_owned(), plain("openapi", "Reads this description", "200", document));
    paths.insert("/v1/health".to_owned(), plain("health", "Tells that the host is up", "204", Value::Null));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "deedbox host",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Keeps stores it cannot open. Bodies are deterministic CBOR (RFC 8949 section 4.2.1), described \
                by the CDDL names of docs/format/host.md; errors are problem details (RFC 9457).",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "securitySchemes": { "proof": {
                "type": "http", "scheme": "Deedbox",
                "description": "A proof of at most 1,024 bytes in lower-case hex, signed over method, origin, target, body \
                    and range by the capability's holder.",
            } },
            "schemas": {
                "Id": { "type": "string", "pattern": "^[0-9a-f]{32}$" },
                "Cursor": { "type": "string", "pattern": "^[0-9a-f]{64}$" },
                "Number": { "type": "integer", "minimum": 0 },
                "Problem": problem(),
            },
            "responses": { "Problem": {
                "description": "Refused; nothing was changed",
                "content": { PROBLEM: { "schema": { "$ref": "#/components/schemas/Problem" } } },
            } },
        },
    })
}

fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameter = |name: &str| {
        let (form, what) = match name {
            "s" => ("Id", "true id or alias of a store"),
            "d" => ("Id", "dataset"),
            "b" => ("Id", "blob"),
            "m" => ("Id", "mailbox"),
            "c" => ("Id", "capability"),
            "a" => ("Id", "alias"),
            _ => ("Number", "epoch"),
        };
        let schema = format!("#/components/schemas/{form}");
        json!({ "name": name, "in": "path", "required": true, "description": what, "schema": { "$ref": schema } })
    };
    names.map(parameter).collect()
}

fn operation(entry: &Entry) -> Value {
    let mut parameters: Vec<Value> = Vec::new();
    for (name, form, required) in entry.query {
        let schema = json!({ "$ref": format!("#/components/schemas/{form:?}") });
        parameters.push(json!({ "name": name, "in": "query", "required": required, "schema": schema }));
    }
    let header = |name: &str| json!({ "name": name, "in": "header", "schema": { "type": "string" } });
    match entry.method {
        Method::Put if entry.is_blob() => parameters.push(header("Content-Range")),
        Method::Get if entry.is_blob() => parameters.push(header("Range")),
        _ if entry.is_feed() => parameters.push(header("Last-Event-ID")),
        _ => {}
    }
    let mut responses = serde_json::Map::new();
    for (status, media, what) in entry.replies {
        let mut reply = json!({ "description": what });
        if let (Some(reply), Some(media)) = (reply.as_object_mut(), media) {
            let mut content = json!({ *media: {} });
            if let (Some(content), true) = (content.as_object_mut(), entry.is_usage()) {
                content.insert("application/json".to_owned(), json!({}));
            }
            if let (Some(content), 409) = (content.as_object_mut(), status) {
                content.insert(PROBLEM.to_owned(), json!({ "schema": { "$ref": "#/components/schemas/Problem" } }));
            }
            reply.insert("content".to_owned(), content);
        }
        responses.insert(status.to_string(), reply);
    }
    responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Problem" }));
    let security = if entry.ops.is_empty() { json!([]) } else { json!([{ "proof": [] }]) };
    let mut operation = json!({
        "operationId": entry.id, "summary": entry.summary, "parameters": parameters,
        "security": security, "responses": responses,
    });
    if let Some(operation) = operation.as_object_mut() {
        if !entry.ops.is_empty() {
            operation.insert("description".to_owned(), format!("Needs operation {}", entry.ops).into());
        }
        if let Some((media, what)) = entry.body {
            let body = json!({ "required": true, "description": what, "content": { media: {} } });
            operation.insert("requestBody".to_owned(), body);
        }
    }
    operation
}

fn problem() -> Value {
    // clients alone say that a host cannot be reached
    let codes: Vec<&str> = CODES.iter().copied().filter(|code| *code != HostError::Unreachable.code()).collect();
    json!({
        "type": "object",
        "required": ["title", "status", "code"],
        "properties": {
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "code": { "type": "string", "enum": codes },
            "class": { "type": "string", "description": "with OverQuota" },
            "have": { "type": "integer", "description": "with WrongOffset: bytes held" },
            "limit": { "type": "integer", "description": "with TooLarge" },
            "now": { "type": "integer", "description": "with ClockSkew: the host's time, Unix seconds" },
            "retry": { "type": "boolean", "description": "with Storage: whether it may work later" },
            "retry_after": { "type": "integer", "description": "with TooMany: seconds" },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::request::Route;

    /// A target of a path, with every query the entry knows.
    fn target(entry: &Entry) -> String {
        let id = "000102030405060708090a0b0c0d0e0f";
        let mut target = entry.path.replace("{epoch}", "7");
        for name in ["{s}", "{d}", "{b}", "{m}", "{c}", "{a}"] {
            target = target.replace(name, id);
        }
        let query = entry.query.iter().map(|(name, form, _)| match form {
            Form::Number => format!("{name}=3"),
            Form::Cursor => format!("{name}={}", "00".repeat(32)),
        });
        let query: Vec<_> = query.collect();
        if query.is_empty() { target } else { format!("{target}?{}", query.join("&")) }
    }

    #[test]
    fn every_route_is_described_and_every_description_is_a_route() {
        let methods = [Method::Delete, Method::Get, Method::Head, Method::Patch, Method::Post, Method::Put];
        for entry in TABLE {
            let here = || TABLE.iter().filter(|other| other.path == entry.path);
            for method in methods {
                let described = here().any(|other| other.method == method);
                // with the query of any of the path's methods, or with none
                let mut targets: Vec<String> = here().map(target).collect();
                targets.push(targets[0].split('?').next().unwrap().to_owned());
                let served = targets.iter().any(|target| Route::parse(method, target).is_some());
                assert_eq!(served, described, "{} {}", method.as_str(), entry.path);
            }
            assert!(Route::parse(entry.method, &target(entry)).is_some(), "{}", entry.path);
        }
        // the reverse: what the requests' parser knows, each arm of it
        assert_eq!(TABLE.len(), 25);
        let pairs: BTreeSet<_> = TABLE.iter().map(|entry| (entry.path, entry.method.as_str())).collect();
        let ids: BTreeSet<_> = TABLE.iter().map(|entry| entry.id).collect();
        assert_eq!((pairs.len(), ids.len()), (TABLE.len(), TABLE.len()));
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_path_parameter_is_described() {
        fn references(value: &Value, all: &mut Vec<String>) {
            match value {
                Value::Object(members) => {
                    if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                        all.push(reference.to_owned());
                    }
                    members.values().for_each(|value| references(value, all));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, all)),
                _ => {}
            }
        }
        let document = openapi();
        let mut all = Vec::new();
        references(&document, &mut all);
        assert!(!all.is_empty());
        for reference in all {
            assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
        }
        for (path, item) in document["paths"].as_object().unwrap() {
            let described: Vec<_> = item.get("parameters").and_then(Value::as_array).into_iter().flatten().collect();
            assert_eq!(path.matches('{').count(), described.len(), "{path}");
            for parameter in described {
                assert!(path.contains(&format!("{{{}}}", parameter["name"].as_str().unwrap())), "{path}");
            }
        }
    }

    #[test]
    fn every_code_is_documented() {
        let page = include_str!("../../../../docs/format/host.md");
        for code in CODES {
            assert!(page.contains(&format!("`{code}`")), "{code} is not on the page");
        }
        let document = openapi();
        let codes = document.pointer("/components/schemas/Problem/properties/code/enum").unwrap();
        assert_eq!(codes.as_array().unwrap().len() + 1, CODES.len());
    }
}
