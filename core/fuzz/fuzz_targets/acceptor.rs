#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gridmux_fuzz::acceptor(data));
