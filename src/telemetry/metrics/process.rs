//! What the system says of this process, under the names that Prometheus' own client libraries have. It is read when somebody
//! asks; what a system does not say is not shown.

use crate::os::ProcessStatus;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};
use std::fmt;

/// The `process_*` metrics.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let now = ProcessStatus::read();
        if let Some(seconds) = now.cpu_seconds {
            let total = ConstCounter::new(seconds);
            let help = "User and system CPU time of this process";
            let kind = total.metric_type();
            total.encode(encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), kind)?)?;
        }
        for (name, unit, help, value) in [
            (
                "process_resident_memory",
                Some(Unit::Bytes),
                "Memory of this process that is in RAM",
                now.resident_bytes,
            ),
            (
                "process_virtual_memory",
                Some(Unit::Bytes),
                "Memory that this process has reserved, used or not",
                now.virtual_bytes,
            ),
            ("process_threads", None, "Threads of this process", now.threads),
            (
                "process_open_fds",
                None,
                "Open file descriptors, sockets included",
                now.open_files,
            ),
            (
                "process_max_fds",
                None,
                "How many file descriptors may be open",
                now.max_open_files,
            ),
        ] {
            gauge(&mut encoder, name, unit, help, value)?;
        }
        let help = "When this process started, since 1970";
        gauge(
            &mut encoder,
            "process_start_time",
            Some(Unit::Seconds),
            help,
            now.started,
        )
    }
}

/// Shows `value`, if there is one.
fn gauge<N>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    unit: Option<Unit>,
    help: &str,
    value: Option<N>,
) -> fmt::Result
where
    ConstGauge<N>: EncodeMetric,
{
    let Some(value) = value else {
        return Ok(());
    };
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, unit.as_ref(), gauge.metric_type())?)
}
