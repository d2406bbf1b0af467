//! The declaration of a service's metrics.

/// Declares a struct of metrics with the functions `register` and `text`. Each metric has a field, its type and first value, a
/// name, a unit if there is one, a help text, and the labels that no other metric has.
#[macro_export]
macro_rules! metrics {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident($($argument:ident: $argument_type:ty)?);
        $(
            $field:ident: $type:ty = $new:expr, $metric:literal $(in $unit:ident)?, $help:literal
            $(, by $labels:ident { $($label:ident: $label_type:ty),+ })?;
        )+
    ) => {
        $($(
            #[derive(Clone, Debug, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelSet)]
            $visibility struct $labels { $($label: $label_type),+ }
        )?)+

        $(#[$attribute])*
        $visibility struct $name {
            registry: prometheus_client::registry::Registry,
            $($visibility $field: $type),+
        }

        impl $name {
            fn register(
                mut registry: prometheus_client::registry::Registry,
                $($argument: $argument_type)?
            ) -> Self {
                $(
                    let $field: $type = $new;
                    $crate::metrics!(@register registry, $metric, $help, $field $(, $unit)?);
                )+
                Self { registry, $($field),+ }
            }

            /// Formats the metrics as OpenMetrics text.
            $visibility fn text(&self) -> Result<String, std::fmt::Error> {
                $crate::metrics::text(&self.registry)
            }
        }
    };
    (@register $registry:ident, $metric:literal, $help:literal, $field:ident) => {
        $registry.register($metric, $help, $field.clone());
    };
    (@register $registry:ident, $metric:literal, $help:literal, $field:ident, $unit:ident) => {
        let unit = prometheus_client::registry::Unit::$unit;
        $registry.register_with_unit($metric, $help, unit, $field.clone());
    };
}
