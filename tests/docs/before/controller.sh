# What a page may assume: a controller, where its package puts it.
cat > /etc/sinew/controller.toml <<'END'
[controller]
state = "/var/lib/sinew/controller"
listen = "127.0.0.1:7401"
api = "127.0.0.1:7402"
END
sinew controller --config /etc/sinew/controller.toml 2> controller.log &
controller=$!
curl -sf --retry 30 --retry-delay 1 --retry-connrefused http://127.0.0.1:7402/readyz
# On a reader's machine these are the defaults.
export SINEW_STATE=/var/lib/sinew/controller SINEW_NODE_STATE=/var/lib/sinew/node
