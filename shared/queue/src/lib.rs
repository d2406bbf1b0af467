//! Wake-up messages over RabbitMQ. A message has ids and trace contexts and no other data; if every message is lost, work is
//! seconds late, because the database has all that is due.

mod broker;
mod delivery_signals;
mod message;
mod publisher;
mod wakeup_publisher;

pub use broker::{Broker, RECONNECT};
pub use delivery_signals::{DeliverySignalPublisher, DeliverySignals};
pub use message::{DueDeliveries, MessageError, Wakeup};
pub use publisher::{BrokerError, Publisher};
pub use wakeup_publisher::{WakeupCounts, WakeupPublisher};
