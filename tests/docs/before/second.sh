# Another instance of the service, of which the node does not know yet.
sinew demo-service http --name second --listen 127.0.0.1:8081 > second.log &
