//! Fuzzes the replies and webhooks of gateways: `make fuzz`.
#![cfg_attr(feature = "libfuzzer", no_main)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| khata_fuzz::gateway(data));

#[cfg(not(feature = "libfuzzer"))]
fn main() -> anyhow::Result<()> {
    khata_fuzz::run_files(khata_fuzz::gateway)
}
