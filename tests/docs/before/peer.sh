# Another node, n2, with an instance of the same service.
sinew demo-service http --name second --listen 127.0.0.1:8081 > second.log &
sinew token create --node n2 --service orders > n2.token
cat > n2.toml <<'END'
[node]
state = "/var/lib/sinew/n2"
data = "127.0.0.1:7420"
admin = "127.0.0.1:7404"

[[serve]]
service = "orders"
address = "127.0.0.1:8081"
END
sinew node --config n2.toml --token-file n2.token 2> n2.log &
curl -sf --retry 30 --retry-delay 1 --retry-connrefused http://127.0.0.1:7404/readyz
