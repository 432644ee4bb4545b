//! Feeds [`wire::hello`](sinew_fuzz::wire::hello) whatever libFuzzer thinks of.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    sinew_fuzz::wire::hello(bytes);
});
