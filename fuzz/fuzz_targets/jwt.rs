#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| openclaw::inbound::fuzzing::jwt(bytes));
