#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| port_mcp_action::fuzzing::links(data));
