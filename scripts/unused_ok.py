"""Names a framework calls or reads, which vulture cannot see. Everything else that nobody uses goes."""

# ruff: noqa: B018, F821
# asyncio protocols
connection_made
connection_lost
data_received
datagram_received
error_received
eof_received
pause_writing
resume_writing
# click
batch_check
identity_new
node_image
update_make
update_sign
update_check
identity_show
site_new
context_class
convert
format_commands
formatter_class
get_metavar
list_commands
options_metavar
prog_name
subcommand_metavar
# argparse
usage
# paho
_create_socket_connection
MessageExpiryInterval
SessionExpiryInterval
connect_timeout
on_connect
on_connect_fail
on_disconnect
on_message
on_publish
on_socket_close
on_socket_open
on_socket_register_write
on_socket_unregister_write
on_subscribe
suppress_exceptions
userdata
# Python itself: __exit__(kind, error, trace), protocols of callables
__call__
trace
# looked up by name: kinds of value (edge_agent/config/site.py), lamps (edge_agent/core.py)
fault_lamp
link_lamp
yes_no
paths
wholes
# named by the registry of codecs
decode_ascii
decode_dialects
decode_json
decode_packets
decode_units
# fields packed and shown by their place (drivers/codecs/gb26875/layouts.py, meaning.py)
minor
minutes
ContentType
# read by zipfile (edge_agent/profile_bundle.py)
external_attr
