#![no_main]

#[path = "../document.rs"]
mod document;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| document::read(bytes, openclaw::document::Format::Json5));
