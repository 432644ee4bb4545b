//! Feeds [`files::controller_config`](sinew_fuzz::files::controller_config) whatever libFuzzer thinks of.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    sinew_fuzz::files::controller_config(bytes);
});
