//! Views for other ecosystems: import of JSON documents and FHIR bundles into fields with provenance
