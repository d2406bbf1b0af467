//! The OTLP service that receives spans.

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tonic::{Request, Response, Status};

use crate::store::{SharedStore, lock};

/// Maximum size of an export. Exporters send a few hundred spans at a time, well below this size.
const MAX_EXPORT_BYTES: usize = 16 * 1024 * 1024;

struct Receiver(SharedStore);

/// Returns the service that adds spans to the store.
pub(crate) fn service(store: SharedStore) -> TraceServiceServer<impl TraceService> {
    TraceServiceServer::new(Receiver(store)).max_decoding_message_size(MAX_EXPORT_BYTES)
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let exported = request.into_inner().resource_spans;
        let mut store = lock(&self.0);
        let rejected_spans: i64 = exported.into_iter().map(|spans| store.add(spans)).sum();
        let partial_success = (rejected_spans > 0).then(|| ExportTracePartialSuccess {
            rejected_spans,
            error_message:
                "a span needs a trace id of 16 bytes and a span id of 8 bytes, and must fit into a 64th of the memory"
                    .to_owned(),
        });
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success,
        }))
    }
}
