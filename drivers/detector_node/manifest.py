# What is frozen into the node's image: make BOARD=ESP32_GENERIC FROZEN_MANIFEST=.../drivers/detector_node/manifest.py
include("$(PORT_DIR)/boards/manifest.py")

# of micropython-lib
require("hmac")

package(
    "detector_node",
    files=(
        "__init__.py",
        "board.py",
        "detector.py",
        "fetch.py",
        "link.py",
        "mqtt5.py",
        "node.py",
        "record.py",
        "ring.py",
        "update.py",
    ),
    base_path="..",
)
module("main.py")
