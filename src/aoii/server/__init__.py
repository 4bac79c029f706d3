"""The server station: MQTT in, SQL out, commit acknowledgements back; also the CSV file and the log reader."""
